"""The jobs a workflow promises, and the local code used for the repositories it names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.rehearsal import stage
from beampermit.rehearsal.plan import Plan, make_plan
from beampermit.rehearsal.stage import Clone, share_local_remotes

COMMIT = 40 * "c"
FILE = ".github/workflows/pull-request.yml"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stage.lay_out(tmp_path_factory.mktemp("own") / "beampermit")


@pytest.fixture
def plan(tmp_path: Path, own: Path):
    """Plan a workflow of the given jobs."""

    def make(jobs: str, **files: str) -> Plan:
        for name, text in {"pull-request": f"name: PR\non: pull_request\njobs:\n{jobs}", **files}.items():
            path = tmp_path / f".github/workflows/{name}.yml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return make_plan(tmp_path, FILE, own, stage.lay_out_artifacts(tmp_path / "artifacts"))

    return make


def test_call_is_replaced_by_the_jobs_it_calls(plan) -> None:
    found = plan(f"""
  ml:
    uses: beampermit/beampermit/.github/workflows/ml-pull-request.yml@{COMMIT}
  after:
    needs: ml
    runs-on: x
    steps: []
""")
    names = ["ml / environment", "ml / data", "ml / tests", "ml / reproduce", "ml / documents", "ml / permit"]
    assert [job.name for job in found.jobs] == [*names, "after"]
    assert found.jobs[0].key == "ml/ML pull request/environment"
    assert found.jobs[-1].needs == tuple(names)


GIVEN = {
    "nothing": "{}",
    "an empty text": "{gpu-labels: ''}",
    "labels": "{gpu-labels: '[\"gpu\"]'}",
    "a variable": "{gpu-labels: '${{ vars.G }}'}",
}


@pytest.mark.parametrize("given", GIVEN)
def test_gpu_job_is_promised_only_to_callers_that_set_labels(plan, given: str) -> None:
    called = f"beampermit/beampermit/.github/workflows/ml-pull-request.yml@{COMMIT}"
    found = {job.name: job for job in plan(f"  ml:\n    uses: {called}\n    with: {GIVEN[given]}\n").jobs}
    promised = given in ("labels", "a variable")
    assert ("ml / gpu" in found) == ("ml / gpu" in found["ml / permit"].needs) == promised


@pytest.mark.parametrize(
    "condition",
    [
        "inputs.a != '' && github.ref == 'x' || always()",
        "inputs.a != '' || github.ref == 'x'",
        "inputs.other != '' && github.ref == 'x'",
        "inputs.a == '' && github.ref == 'x'",
        "inputs.a != '' && (success() || always())",
    ],
)
def test_job_that_another_condition_may_start_stays_promised(plan, condition: str) -> None:
    head = "name: Called\non:\n  workflow_call:\n    inputs: {a: {type: string, default: ''}}\n"
    called = f"{head}jobs:\n  it:\n    if: ${{{{ {condition} }}}}\n    runs-on: x\n    steps: []\n"
    found = plan("  out:\n    uses: ./.github/workflows/called.yml\n", called=called)
    assert [job.name for job in found.jobs] == ["out / it"]


def test_every_commit_of_beampermit_is_the_local_code(plan, own: Path) -> None:
    found = plan(f"  ml:\n    uses: beampermit/beampermit/.github/workflows/ml-pull-request.yml@{COMMIT}\n")
    ours = {name for name, folder in found.repositories.items() if folder == own}
    assert f"beampermit/beampermit@{COMMIT}" in ours
    assert len(ours) == 2, "the caller's pin, and the pin inside the reusable workflow"
    artifacts = {name.partition("@")[0] for name, folder in found.repositories.items() if folder != own}
    assert artifacts == {"actions/upload-artifact", "actions/download-artifact"}
    assert found.fetched == ()


def test_mirror_is_recognized_and_a_namesake_is_not(plan, own: Path) -> None:
    found = plan(f"""
  ml:
    uses: lab/mirror/.github/workflows/ml-pull-request.yml@{COMMIT}
  other:
    runs-on: x
    steps:
      - uses: lab/mirror/actions/setup@{COMMIT}
      - uses: stranger/ci/actions/setup@{COMMIT}
""")
    assert found.repositories[f"lab/mirror@{COMMIT}"] == own
    assert found.fetched == (f"stranger/ci@{COMMIT}",)


def test_local_reusable_workflows_are_followed(plan) -> None:
    inner = "name: Inner\non: workflow_call\njobs:\n  deep: {runs-on: x, steps: []}\n"
    middle = "name: Middle\non: workflow_call\njobs:\n  in:\n    uses: ./.github/workflows/inner.yml\n"
    found = plan("  out:\n    uses: ./.github/workflows/middle.yml\n", inner=inner, middle=middle)
    assert [job.name for job in found.jobs] == ["out / in / deep"]


def test_more_levels_than_github_connects_are_refused(plan) -> None:
    circle = "name: Circle\non: workflow_call\njobs:\n  again:\n    uses: ./.github/workflows/circle.yml\n"
    with pytest.raises(BadInput, match=r"circle\.yml:5: GitHub allows at most 10 levels of reusable workflows"):
        plan("  out:\n    uses: ./.github/workflows/circle.yml\n", circle=circle)


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ("  a: {needs: b, runs-on: x}\n", "job 'a' needs 'b', which does not exist"),
        ("  a: {needs: b, runs-on: x}\n  b: {needs: a, runs-on: x}\n", "jobs form a dependency cycle: "),
    ],
)
def test_impossible_needs_are_refused(plan, jobs: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        plan(jobs)


@pytest.mark.slow
def test_local_code_comes_from_the_wheel_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: Path) -> None:
    package = tmp_path / "site-packages/beampermit"
    shutil.copytree(own / "src/beampermit", package)
    for part in stage.PARTS:
        carried = package / ("_template" if part in ("template", "cookiecutter.json") else "_source") / part
        carried.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (own / part).is_dir() else shutil.copyfile)(own / part, carried)
    monkeypatch.setattr("beampermit.__file__", str(package / "__init__.py"))
    laid = stage.lay_out(tmp_path / "laid")
    for part in ("src/beampermit/cli/main.py", "actions/setup/setup.py", *stage.PARTS):
        assert (laid / part).exists(), part
    assert not (laid / "src/beampermit/_source").exists()


def test_what_act_copies_for_each_step_is_small_and_whole(own: Path) -> None:
    copied = [path for folder, _, names in os.walk(own) for path in (Path(folder, name) for name in names)]
    assert len(copied) < 60
    assert not [path for path in copied if path.is_relative_to(own / "src")]
    assert (own / "src/beampermit/cli/main.py").is_file()


def test_remote_in_a_relative_folder_is_found_from_the_clone(project, git, tmp_path: Path) -> None:
    (project.root / ".dvc").mkdir()
    (project.root / ".dvc/config").write_text(
        "['remote \"storage\"']\n    url = ../../dvc-storage\n['remote \"far\"']\n    url = s3://bucket/x\n"
    )
    git("add", "--all")
    git("commit", "--quiet", "--message", "Remotes")
    clone = Clone(tmp_path / "clone", project.git.head(), project.git.head(), None, "main", "main")
    clone.root.mkdir()
    share_local_remotes(project.root, clone, project.git)
    written = (clone.root / ".dvc/config.local").read_text()
    assert f"url = {tmp_path / 'dvc-storage'}" in written
    assert "far" not in written


def test_a_configuration_of_dvc_that_cannot_be_read_is_named(project, git, tmp_path: Path) -> None:
    (project.root / ".dvc").mkdir()
    (project.root / ".dvc/config").write_text("['remote \"storage\"'\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Remotes")
    clone = Clone(tmp_path / "clone", project.git.head(), project.git.head(), None, "main", "main")
    with pytest.raises(BadInput, match=r"\.dvc/config: not a DVC configuration"):
        share_local_remotes(project.root, clone, project.git)
