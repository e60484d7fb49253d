"""The rehearsal tells the truth about small workflows: each way a job can fail to succeed is seen and named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from textwrap import indent

import psutil
import pytest

from beampermit.errors import BadInput, Failed, Outside
from beampermit.rehearsal import Result, rehearse, runner, stage
from support.forked_commands import beampermit, executable
from support.rehearsals import HEAD, laid_out_once, log_of, run

pytestmark = pytest.mark.slow

UPLOAD = "actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f"
DOWNLOAD = "actions/download-artifact@37930b1c2abaa49bbe596cd826c3c89aef350131"
CHECKOUT = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd"


@pytest.fixture(autouse=True)
def _laid_out_once(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands below, in processes of their own, each make their copy."""
    whole = laid_out_once(tmp_path_factory)
    monkeypatch.setattr(stage, "lay_out", lambda _: whole)


def test_a_good_workflow_succeeds_and_leaves_logs(repository, results) -> None:
    seen = []
    found = run(
        repository("""
          one:
            runs-on: ubuntu-latest
            steps: [{run: echo beam; sleep 0.3}] # act may lose its last words
          two:
            name: the second
            needs: one
            runs-on: ubuntu-latest
            strategy: {matrix: {plane: [X, Y]}}
            steps: [{run: 'echo plane ${{ matrix.plane }}; sleep 0.3'}]
        """),
        watch=lambda job: seen.append((job.name, job.result)),
    )
    assert found.ok
    assert results(found) == {"one": "success", "the second": "success"}
    assert "beam" in log_of(found, "one")
    assert {"plane X", "plane Y"} <= set(log_of(found, "the second").splitlines())
    assert seen.index(("one", Result.RUNNING)) < seen.index(("one", Result.SUCCESS))
    assert json.loads(Path(found.folder, "rehearsal.json").read_text())["commit"] == found.commit
    assert not [path for path in Path(found.folder).rglob("*") if path.name == "hostexecutor"]


def test_jobs_of_workflows_that_call_workflows_are_found(repository, results) -> None:
    called = "name: {}\non: workflow_call\njobs:\n"
    beside = {
        "inner.yml": called.format("Inner") + "  deep: {runs-on: ubuntu-latest, steps: [{run: echo deep}]}\n",
        "middle.yml": called.format("Middle") + "  in:\n    uses: ./.github/workflows/inner.yml\n",
    }
    found = run(repository("out: {uses: ./.github/workflows/middle.yml}", beside=beside))
    assert found.ok, found.failed
    assert results(found) == {"out / in / deep": "success"}


def test_a_job_that_fails_is_named_with_what_it_said(repository, results) -> None:
    found = run(
        repository("""
          one:
            runs-on: ubuntu-latest
            steps: [{name: Look, run: 'echo the magnet is off; sleep 0.3; exit 3'}] # act may lose its last words
          after:
            needs: one
            runs-on: ubuntu-latest
            steps: [{run: echo never}]
          always:
            if: ${{ always() }}
            needs: [one, after]
            runs-on: ubuntu-latest
            steps: [{run: echo report}]
        """)
    )
    assert not found.ok
    assert results(found) == {"one": "failure", "after": "skipped", "always": "success"}
    one, after, _ = found.jobs
    assert one.reason == "failed at: Look"
    assert one.tail == ("the magnet is off",)
    assert after.reason == "not run: it needs one, which did not succeed"


def test_errors_of_a_job_are_shown_before_its_last_words(repository) -> None:
    found = run(
        repository(r"""
          one:
            runs-on: ubuntu-latest
            steps:
              - run: |
                  echo "::error file=uv.lock,title=ENV002 fresh::the lock is stale%0Afix it"
                  echo good bye
                  sleep 0.3 # act may lose its last words
                  exit 1
        """)
    )
    assert found.jobs[0].tail == ("ENV002 fresh: the lock is stale",)


def test_a_label_that_stands_for_nothing_is_a_failure(repository, results) -> None:
    jobs = """
      gpu:
        runs-on: [self-hosted, gpu]
        steps: [{run: nvidia-smi}]
      permit:
        needs: gpu
        runs-on: ubuntu-latest
        steps: [{run: echo permit}]
    """
    found = run(repository(jobs))
    assert not found.ok
    assert results(found) == {"gpu": "skipped", "permit": "skipped"}
    assert "this machine has no runner label" in found.jobs[0].reason
    assert found.jobs[1].reason == "not run: it needs gpu, which did not succeed"


def test_a_label_can_be_lent(repository) -> None:
    jobs = """
      gpu:
        runs-on: [self-hosted, gpu]
        steps: [{run: echo lent}]
    """
    assert run(repository(jobs), labels=("gpu",)).ok


def test_a_job_whose_condition_is_not_met_is_a_failure(repository) -> None:
    found = run(
        repository("""
          permit:
            if: ${{ github.event_name == 'push' }}
            runs-on: ubuntu-latest
            steps: [{run: echo hidden}]
        """)
    )
    assert not found.ok
    assert found.jobs[0].reason == "not run: its condition is false: ${{ github.event_name == 'push' }}"


def test_artifacts_go_from_job_to_job(repository) -> None:
    found = run(
        repository(f"""
          one:
            runs-on: ubuntu-latest
            steps:
              - run: mkdir -p out/deep; echo 1 > out/one.json; echo 2 > out/deep/two.json; echo no > out/.hidden
              - uses: {UPLOAD}
                with: {{name: verdicts-one, path: out, if-no-files-found: error}}
          two:
            needs: one
            runs-on: ubuntu-latest
            steps:
              - uses: {DOWNLOAD}
                with: {{pattern: verdicts-*, path: all, merge-multiple: true}}
              - run: find all -type f | sort; test "$(cat all/deep/two.json)" = 2; test ! -e all/.hidden
        """)
    )
    assert found.ok, found.failed
    kept = Path(found.artifacts, "verdicts-one")
    assert sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*.json")) == ["deep/two.json", "one.json"]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (f"{{uses: '{UPLOAD}', with: {{name: v, path: nothing, if-no-files-found: error}}}}", "no files were found"),
        (f"{{uses: '{UPLOAD}', with: {{name: '../up', path: contract.yaml}}}}", "'../up' is not a valid artifact name"),
        (f"{{uses: '{DOWNLOAD}', with: {{name: absent}}}}", "this run has no artifact named 'absent'"),
    ],
)
def test_a_missing_artifact_fails_the_job(repository, step: str, words: str) -> None:
    jobs = f"""
      one:
        runs-on: ubuntu-latest
        steps:
          - uses: {CHECKOUT}
          - {step}
    """
    found = run(repository(jobs))
    assert not found.ok
    assert words in " ".join(found.jobs[0].tail)


def test_jobs_see_the_merge_of_committed_work_and_nothing_else(repository, git) -> None:
    project = repository(f"""
      one:
        runs-on: ubuntu-latest
        steps:
          - uses: {CHECKOUT}
          - run: |
              ls -a; git status --short; git log -1 --format=%P
              echo "base=$GITHUB_BASE_REF head=$GITHUB_HEAD_REF ref=$GITHUB_REF sha=$GITHUB_SHA"
              git rev-parse HEAD origin/main
    """)
    git("checkout", "--quiet", "main")
    (project.root / "main.txt").write_text("later on main\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Main went on")
    git("push", "--quiet", "origin", "main")
    git("checkout", "--quiet", "topic")
    (project.root / "contract.yaml").write_text("not committed")
    (project.root / "untracked.txt").write_text("untracked")
    found = run(project)
    assert found.ok
    said = log_of(found, "one")
    assert "main.txt" in said
    assert "changed.txt" in said
    assert "untracked.txt" not in said
    assert f"{git('rev-parse', 'main')} {git('rev-parse', 'topic')}" in said
    assert f"base=main head=topic ref=refs/pull/1/merge sha={found.commit}" in said
    assert found.commit == run(project).commit


@pytest.mark.attack(
    guard="base",
    tried="a pull request and a release run under act, with a tag that is called origin/main",
    said='"base": ',
)
def test_jobs_of_a_run_agree_on_run_and_base_whatever_a_tag_is_called(
    repository, git, said: str, tmp_path: Path
) -> None:
    checker = f"'{executable(tmp_path)}' check DOC001 --out v.json"
    steps = ("uses: " + CHECKOUT, "run: git tag origin/main HEAD", f'run: "{checker} || true; cat v.json"')
    job = "  runs-on: ubuntu-latest\n  steps:\n" + "".join(f"    - {step}\n" for step in steps)
    jobs = f"one:\n{job}two:\n{job}"
    release = f"name: Release\non: {{push: {{branches: [main]}}}}\njobs:\n{indent(jobs, '  ')}"
    project = repository(jobs, beside={"release.yml": release})
    for workflow, base in (("pull-request", f'"{git("rev-parse", "main")}"'), ("release", "null")):
        found = rehearse(project, workflow, timeout=120)
        one, two = (
            {line.strip() for line in log_of(found, job).splitlines() if '"run": ' in line or said in line}
            for job in ("one", "two")
        )
        assert one == two
        assert len(one) == 2
        assert any(f"{said}{base}," in line for line in one)


def test_a_push_is_rehearsed_on_the_main_branch(repository, git) -> None:
    head = "name: Release\non: {push: {branches: [main]}}\njobs:\n"
    jobs = """
      one:
        runs-on: ubuntu-latest
        steps: [{run: 'echo "$GITHUB_EVENT_NAME $GITHUB_REF $GITHUB_SHA"; cat "$GITHUB_EVENT_PATH"'}]
    """
    project = repository(jobs, head, "release.yml")
    found = rehearse(project, "release", timeout=120)
    assert found.ok
    assert f"push refs/heads/main {git('rev-parse', 'HEAD')}" in log_of(found, "one")
    assert f'"before": "{git("rev-parse", "main")}"' in log_of(found, "one")


def test_the_host_does_not_leak_into_jobs(repository, monkeypatch) -> None:
    monkeypatch.setenv("LABORATORY_PASSWORD", "leaked")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.setenv("BEAMPERMIT_SIGNING_KEY", "-----BEGIN KEY-----\nverysecret\n-----END KEY-----\n")
    jobs = """
      one:
        runs-on: ubuntu-latest
        env:
          URI: ${{ vars.MLFLOW_TRACKING_URI }}
          KEY: ${{ secrets.BEAMPERMIT_SIGNING_KEY }}
        steps:
          - run: echo "[$LABORATORY_PASSWORD] $URI lines=$(printf %s "$KEY" | wc -l)"
          - run: which beampermit || echo clean
    """
    project = repository(jobs)
    found = run(project)
    said = log_of(found, "one")
    assert f"[] sqlite:///{project.root}/mlflow.db lines=3" in said
    assert "clean" in said
    everything = "".join(path.read_text() for path in Path(found.folder).rglob("*") if path.is_file())
    assert "verysecret" not in everything
    assert "leaked" not in everything


def test_what_a_step_prints_is_no_result(repository) -> None:
    forged = json.dumps({"job": "Pull request/two", "jobResult": "success", "msg": "Job succeeded"})
    jobs = f"""
      one:
        runs-on: ubuntu-latest
        steps:
          - run: |
              echo '{forged}'
              printf '\\033[31mred\\033[0m \\xff\\n'
      two:
        runs-on: nowhere
        steps: [{{run: echo never}}]
    """
    found = run(repository(jobs))
    assert [str(job.result) for job in found.jobs] == ["success", "skipped"]
    assert "\033" not in log_of(found, "one")


def alive(words: str) -> list[psutil.Process]:
    # Asked for by `process_iter` itself, which passes over those that end while it looks.
    return [
        process
        for process in psutil.process_iter(["name", "status", "cmdline"])
        if process.info["name"] == "sleep"
        and process.info["status"] != psutil.STATUS_ZOMBIE
        and words in " ".join(process.info["cmdline"] or ())
    ]


@pytest.mark.parametrize("apart", [True, False])
def test_children_do_not_outlive_a_time_out(repository, monkeypatch, apart: bool) -> None:
    if not apart:
        monkeypatch.setattr(runner, "namespace", list)
    seconds = f"98{os.getpid()}{int(apart)}"
    project = repository(f"""
      one:
        runs-on: ubuntu-latest
        steps: [{{run: 'setsid sleep {seconds} & sleep {seconds}'}}]
    """)
    with pytest.raises(Outside, match="took longer than 3 s and was stopped"):
        rehearse(project, "pull-request", timeout=3)
    assert alive(seconds) == []


def test_children_that_a_job_leaves_behind_end_with_it(repository) -> None:
    seconds = f"97{os.getpid()}"
    project = repository(f"""
      one:
        runs-on: ubuntu-latest
        steps: [{{run: 'setsid sleep {seconds} > /dev/null 2>&1 < /dev/null & echo left'}}]
    """)
    assert run(project).ok
    assert alive(seconds) == []


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_command(repository, with_signal: signal.Signals, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    if with_signal is signal.SIGKILL and not runner.namespace():
        pytest.skip("process namespaces are not allowed here")
    seconds = f"96{os.getpid()}{int(with_signal)}"
    jobs = f"one: {{runs-on: ubuntu-latest, steps: [{{run: 'sleep {seconds}'}}]}}"
    project = repository(jobs, beside={"quick.yml": HEAD + f"  {jobs.replace('sleep', 'echo')}\n"})
    child = subprocess.Popen(
        [sys.executable, "-m", "beampermit.cli.main", "rehearse", "pull-request"],
        cwd=project.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _until(lambda: bool(alive(seconds)))
    child.send_signal(with_signal)
    child.wait(20)
    _until(lambda: not alive(seconds))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run(project, workflow=".github/workflows/quick.yml")
    assert list(tmp_path.glob("beampermit-rehearsal-*/secrets.yml")) == [], "not even what a killed one left"
    _until(lambda: not list(tmp_path.glob("beampermit-rehearsal-*")))


def _until(true, patience: float = 30) -> None:
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (None, None, "there is no such workflow"),
        ("jobs: [\n", 2, "not YAML"),
        ("on: pull_request\n", 1, "this workflow has no jobs"),
        (HEAD + "  a:\n    needs: b\n    runs-on: x\n    steps: []\n", 5, "job 'a' needs 'b', which does not exist"),
        (HEAD + "  a:\n    needs: a\n    runs-on: x\n    steps: []\n", None, "form a dependency cycle: a → a"),
        ("on: push\njobs:\n  a:\n    runs-on: x\n    steps: []\n", None, "does not run on pull_request"),
        (
            HEAD + f"  a:\n    uses: lab/x/.github/workflows/other.yml@{40 * 'a'}\n",
            6,
            "is not a workflow of the installed Beampermit",
        ),
    ],
)
def test_a_workflow_that_cannot_be_rehearsed_is_named(repository, git, text, line, words) -> None:
    project = repository("", text or HEAD + "  a: {runs-on: x, steps: []}\n")
    if text is None:
        git("rm", "--quiet", ".github/workflows/pull-request.yml")
        git("commit", "--quiet", "--message", "No workflow")
    with pytest.raises(BadInput, match=words.replace("(", r"\(")) as error:
        run(project)
    assert error.value.file == ".github/workflows/pull-request.yml"
    assert error.value.line == line


def test_a_branch_that_cannot_be_merged_fails(repository, git) -> None:
    project = repository("one: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}")
    git("checkout", "--quiet", "main")
    (project.root / "changed.txt").write_text("otherwise\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Otherwise")
    with pytest.raises(Failed, match=r"topic cannot be merged into main: changed\.txt"):
        run(project, base="main", head="topic")


def test_a_name_that_is_no_commit_is_bad_input(repository) -> None:
    project = repository("one: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}")
    with pytest.raises(BadInput, match="'nowhere' is not a commit"):
        run(project, head="nowhere")


def test_the_command_says_what_failed_and_what_is_not_proven(repository) -> None:
    project = repository("one: {runs-on: ubuntu-latest, steps: [{run: 'echo [red]no[/red] beam; exit 1'}]}")
    found = beampermit("rehearse", "pull-request", cwd=project.root)
    assert found.returncode == 1
    assert "[red]no[/red] beam" in found.stdout
    assert "log: " in found.stdout
    assert "Not tested here, because only GitHub applies it: permissions" in found.stdout
    assert "GIT001 and GIT002 used a stand-in for GitHub that applies .github/rulesets/main.json" in found.stdout
    assert "one: running" in found.stderr
    as_json = beampermit("rehearse", "pull-request", "--json", cwd=project.root)
    assert json.loads(as_json.stdout)["jobs"][0]["result"] == "failure"
