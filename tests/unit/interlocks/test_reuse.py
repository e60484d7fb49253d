"""A verdict is reused while nothing has changed that decides it, and whatever has changed is seen."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest

from beampermit.datasets.repository import Repository
from beampermit.environments.environment import VARIABLE
from beampermit.environments.uv import Uv
from beampermit.errors import Outside
from beampermit.files import write_json
from beampermit.interlocks.families import load_interlocks, select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.interlock import Finding
from beampermit.interlocks.repository.workflows import GIT003
from beampermit.interlocks.reuse import Reuse
from beampermit.interlocks.runner import check
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.deployed_project import deployed, deployed_repository
from support.dvc_repositories import edit, leaf, replace, replace_bytes
from support.package_index import index, uv_project, uv_settings

pytestmark = pytest.mark.slow

__all__ = ["deployed", "deployed_repository", "index", "uv_project", "uv_settings"]

OF_DVC = ("DAT001", "DAT002", "DAT003")


def judge(project: Project, *names: str) -> dict[str, Verdict]:
    return {verdict.id: verdict for verdict in check(Project(project.root), select_interlocks(names), fresh=False)}


def key(project: Project, id: str) -> str | None:
    project = Project(project.root, base="main")
    reuse = Reuse.of(project)
    assert reuse is not None
    return reuse.key(load_interlocks()[id], Inputs(project=project))


def test_dvc_is_loaded_only_where_its_own_files_have_changed(
    dvc_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = judge(dvc_project, *OF_DVC, "GIT005")
    assert {verdict.outcome for verdict in first.values()} == {Outcome.PASSED}
    assert not any(verdict.reused for verdict in first.values())

    def refuse(*_: object) -> None:
        raise Outside("DVC is loaded")

    monkeypatch.setattr(Repository, "__init__", refuse)
    assert all(verdict.reused for verdict in judge(dvc_project, *OF_DVC, "GIT005").values())
    (dvc_project.root / "README.md").write_text("New words.\n")
    subprocess.run(["git", "add", "README.md"], cwd=dvc_project.root, check=True)
    judge_again = judge(dvc_project, "DAT001")["DAT001"]
    assert judge_again.outcome is Outcome.ERROR, "a new file may be a pipeline"


def same_size_and_time(project: Project) -> None:
    file = project.root / "data/raw.parquet"
    status, content = file.stat(), bytearray(file.read_bytes())
    content[-20] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def ignored_dvcignore(project: Project) -> None:
    (project.root / ".dvcignore").write_text("dvc.yaml\n")


def own_configuration(project: Project) -> None:
    (project.root.parent / "empty").mkdir()
    (project.root / ".dvc/config.local").write_text("['remote \"storage\"']\n    url = ../../empty\n")


def on_the_remote(change: Callable[[Path], None]) -> Callable[[Project], None]:
    return lambda project: change(leaf(project.root, project.root.parent / "storage", "data/raw.parquet"))


def in_the_cache(project: Project) -> None:
    replace_bytes(leaf(project.root, project.root / ".dvc/cache", "data/labels.parquet"), b"x")


def forced(project: Project) -> None:
    subprocess.run(["git", "add", "--force", "data/raw.parquet"], cwd=project.root, check=True)


CHANGES: dict[str, tuple[str, Callable[[Project], None], str]] = {
    "command": ("DAT001", edit("dvc.yaml", "make.py dataset", "make.py dataset --fast"), "its command has changed"),
    "parameter": ("DAT001", edit("params.yaml", "8", "9"), "rows is 9, it ran with 8"),
    "data, with size and time as before": ("DAT003", same_size_and_time, "data/raw.parquet"),
    "a .dvcignore that git ignores": ("DAT001", ignored_dvcignore, "hides it from DVC"),
    "object gone from the remote": ("DAT002", on_the_remote(Path.unlink), "is not on storage"),
    "object altered there": ("DAT002", on_the_remote(lambda file: replace_bytes(file, b"x")), "on storage has"),
    "another remote on this machine": ("DAT002", own_configuration, "storage"),
    "object altered in the cache": ("DAT003", in_the_cache, "the cached copy of data/labels.parquet"),
    "data that git was made to take": ("DAT008", forced, "data/raw.parquet is in git"),
}


@pytest.mark.parametrize(("id", "change", "said"), CHANGES.values(), ids=CHANGES.keys())
def test_what_has_changed_since_is_seen(
    dvc_project: Project, id: str, change: Callable[[Project], None], said: str
) -> None:
    (dvc_project.root / ".git/info/exclude").write_text(".dvcignore\n")
    dvc_project.git("rm", "--quiet", ".dvcignore")
    dvc_project.git("commit", "--quiet", "--message", "DVC ignores nothing")
    assert judge(dvc_project, id)[id].passed
    assert judge(dvc_project, id)[id].reused
    change(dvc_project)
    verdict = judge(dvc_project, id)[id]
    assert not verdict.passed
    assert said in verdict.reason


@pytest.mark.parametrize("above", ["stages:\n", "  raw:\n"], ids=["of the file", "of a stage"])
def test_variables_in_a_folder_that_git_ignores_are_seen(dvc_project: Project, above: str) -> None:
    root = dvc_project.root
    (root / ".git/info/exclude").write_text("/conf\n")
    (root / "conf").mkdir()
    (root / "conf/made.yaml").write_text("what: raw\n")
    named = "vars: [conf/made.yaml]\n"
    replace(root / "dvc.yaml", above, f"{named}{above}" if above == "stages:\n" else f"{above}    {named}")
    replace(root / "dvc.yaml", "make.py raw", "make.py ${what}")
    assert [judge(dvc_project, "DAT001")["DAT001"].reused for _ in range(2)] == [False, True]
    (root / "conf/made.yaml").write_text("what: other\n")
    verdict = judge(dvc_project, "DAT001")["DAT001"]
    assert "its command has changed" in verdict.reason
    assert not verdict.passed


def settings_of_the_user(project: Project) -> None:
    folder = Path(os.environ["XDG_CONFIG_HOME"], "uv")
    folder.mkdir(parents=True)
    (folder / "uv.toml").write_text('exclude-newer = "2020-01-01T00:00:00Z"\n')


OF_UV: dict[str, tuple[Callable[[Project], object], str]] = {
    "a project outside the repository": (edit("../other/pyproject.toml", "[]", '["beta"]'), "other"),
    "settings that git ignores": (lambda project: (project.root / "uv.toml").touch(), "uv would read uv.toml"),
    "a Python that git ignores": (
        lambda project: (project.root / ".python-version").write_text("3.9\n"),
        "the file has Python 3.9",
    ),
    "settings of the user": (settings_of_the_user, "exclude"),
}


@pytest.mark.parametrize(("change", "said"), OF_UV.values(), ids=OF_UV.keys())
def test_what_uv_reads_outside_the_commit_is_seen(
    uv_project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Project], object],
    said: str,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    root, other = uv_project.root, uv_project.root.parent / "other"
    other.mkdir()
    (other / "pyproject.toml").write_text(
        '[project]\nname = "other"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = []\n'
    )
    replace(root / "pyproject.toml", "dependencies = [", 'dependencies = ["other", ')
    with (root / "pyproject.toml").open("a") as file:
        file.write('[tool.uv.sources]\nother = {path = "../other"}\n')
    (root / ".git/info/exclude").write_text("uv.toml\n.python-version\n")
    Uv().lock(root, progress=silent)
    assert [judge(uv_project, "ENV002")["ENV002"].reused for _ in range(2)] == [False, True]
    change(uv_project)
    verdict = judge(uv_project, "ENV002")["ENV002"]
    assert said in verdict.reason
    assert not verdict.passed


@pytest.mark.parametrize("name", ["uv.toml", "pyproject.toml"])
def test_settings_of_uv_above_the_repository_count(uv_project: Project, name: str) -> None:
    before = key(uv_project, "ENV002")
    assert before
    (uv_project.root.parent / name).touch()
    assert key(uv_project, "ENV002") not in (before, None)


@pytest.mark.parametrize("id", ["TST001", "MDL003", "GIT005"])
def test_what_lies_in_a_submodule_counts(project: Project, git: Callable[..., str], id: str) -> None:
    inner = project.root / "inner"
    inner.mkdir()
    git("init", "--quiet", cwd=inner)
    (inner / "code.py").write_text("x = 1\n")
    git("add", "--all", cwd=inner)
    git("commit", "--quiet", "--message", "Code", cwd=inner)
    git("-c", "advice.addEmbeddedRepo=false", "add", "inner")
    before = key(project, id)
    assert before
    assert key(project, id) == before
    (inner / "code.py").write_text("x = 2\n")
    assert key(project, id) not in (before, None)


def test_a_promotion_on_origin_is_seen(project: Project, tmp_path: Path, git: Callable[..., str]) -> None:
    alone = key(project, "PRF002")
    git("init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    git("remote", "add", "origin", str(tmp_path / "origin.git"))
    git("push", "--quiet", "origin", "main")
    before = key(project, "PRF002")
    assert before not in (alone, None)
    assert key(project, "PRF002") == before
    git("push", "--quiet", str(tmp_path / "origin.git"), "main:refs/heads/beampermit-ledger")
    assert key(project, "PRF002") not in (before, None)
    git("remote", "set-url", "origin", str(tmp_path / "nowhere.git"))
    assert key(project, "PRF002") is None, "nobody can tell"


@pytest.mark.parametrize("name", ["deploy/kubernetes.yaml", "devices.csv", "contract.yaml"])
def test_deployment_files_and_what_decides_them_are_seen(deployed: Project, name: str) -> None:
    before = key(deployed, "OPS002")
    assert before
    assert key(deployed, "OPS002") == before
    with (deployed.root / name).open("a") as file:
        file.write("# changed\n")
    assert key(deployed, "OPS002") not in (before, None)


@pytest.mark.parametrize("name", ["metrics/limits.json", "calibration.json", "data/dataset/validation.parquet"])
@pytest.mark.parametrize("ignored", [False, True])
def test_monitoring_limits_and_their_reference_are_seen(project: Project, name: str, ignored: bool) -> None:
    (project.root / ".gitignore").write_text(f"/{name}\n" if ignored else "")
    (project.root / name).parent.mkdir(parents=True, exist_ok=True)
    before = key(project, "OPS001")
    assert before
    assert key(project, "OPS001") == before
    (project.root / name).write_text("{}")
    assert key(project, "OPS001") not in (before, None)


def test_a_record_of_operation_is_seen(project: Project) -> None:
    contract, record = project.root / "contract.yaml", project.root / "data/record.parquet"
    contract.write_text(contract.read_text().replace("monitoring: {", "monitoring: {recorded: data/record.parquet, "))
    record.parent.mkdir(exist_ok=True)
    (project.root / ".gitignore").write_text("/data/\n")
    before = key(project, "OPS001")
    assert before
    record.write_text("{}")
    assert key(project, "OPS001") not in (before, None)


def test_parents_that_git_ignores_are_seen(project: Project) -> None:
    root, lineage = project.root, project.contract.dataset.lineage
    digest = f"sha256:{64 * '0'}"
    (root / ".gitignore").write_text("/own\n")
    (root / "code.txt").touch()
    (root / "own").mkdir()
    (root / "own/parent.csv").write_text("1")
    write_json(
        root / lineage,
        {
            "parents": {"own/parent.csv": digest},
            "code": {"code.txt": digest},
            "parameters": {},
            "split": {},
            "splits": {"train": {"path": "data/train.parquet", "sha256": digest, "rows": 1}},
        },
    )
    before = key(project, "DAT007")
    assert before
    (root / "code.txt").touch()
    assert key(project, "DAT007") == before, "git has it"
    (root / "own/parent.csv").write_text("2")
    assert key(project, "DAT007") not in (before, None)


def test_tests_on_a_gpu_run_each_time_and_a_new_driver_is_seen(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.interlocks.reuse.DRIVER", tmp_path)
    before = key(project, "TST003"), key(project, "MDL003")
    assert None not in before
    (tmp_path / "version").write_text("NVRM version: 570")
    assert key(project, "MDL003") not in (before[1], None)
    asked = 'tests: {gpu: {capability: "7.0"}}\nenvironment:\n  accelerators: [cpu, cuda]\n'
    replace(project.root / "contract.yaml", "environment:\n", asked)
    assert key(project, "TST003") is None
    assert key(project, "TST001"), "the contract can be read"


def test_the_code_that_judges_counts_and_what_python_compiles_of_it_does_not(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "src/beampermit"
    (package / "datasets/__pycache__").mkdir(parents=True)
    (package / "datasets/rows.py").write_text("")
    monkeypatch.setattr("beampermit.__file__", str(package / "__init__.py"))
    before = key(project, "GIT003")
    assert before
    (package / "datasets/__pycache__/rows.cpython-311.pyc").write_bytes(b"")
    assert key(project, "GIT003") == before
    (package / "datasets/more.py").write_text("")
    assert key(project, "GIT003") not in (before, None)


def test_a_remote_that_is_no_folder_is_asked_each_time(dvc_project: Project) -> None:
    replace(dvc_project.root / ".dvc/config", "url = ", "url = https://127.0.0.1/")
    subprocess.run(["git", "commit", "-qam", "A server"], cwd=dvc_project.root, check=True)
    subprocess.run(["git", "branch", "-qf", "main"], cwd=dvc_project.root, check=True)
    assert key(dvc_project, "DAT001")
    assert key(dvc_project, "DAT002") is None


def new_package(project: Project, prefix: Path) -> None:
    (prefix / "lib/python3.11/site-packages/b.py").write_text("")


def other_bytes(project: Project, prefix: Path) -> None:
    file = prefix / "lib/python3.11/site-packages/a.py"
    status = file.stat()
    file.write_text("b = 1\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def other_python(project: Project, prefix: Path) -> None:
    (prefix.parent / "python3").write_text("#!/bin/sh\nexit 0\n")


def base_moves(project: Project, prefix: Path) -> None:
    subprocess.run(["git", "update-ref", "refs/heads/main", "HEAD~"], cwd=project.root, check=True)


def left_elsewhere(project: Project, prefix: Path) -> None:
    """The base is the same, and so are the files: only the commit where the branch left the base is another."""
    git = project.git
    git("update-ref", "HEAD", git("commit-tree", "HEAD^{tree}", "-p", "HEAD~", "-m", "The same files"))


def settings_of_git(project: Project, prefix: Path) -> None:
    folder = Path(os.environ["XDG_CONFIG_HOME"], "git")
    folder.mkdir(parents=True)
    (folder / "attributes").write_text("*.py -text\n")


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("ENV005", new_package),
        ("ENV005", other_bytes),
        ("ENV005", other_python),
        *[(id, change) for id in ("TST001", "PRF001") for change in (new_package, other_bytes, other_python)],
        ("PRF001", left_elsewhere),
        ("GIT005", settings_of_git),
        ("GIT003", base_moves),
        ("GIT003", lambda project, _: (project.root / ".github/workflows/new.yml").write_text("on: push\n")),
        ("DAT005", lambda project, _: (project.root / "data/dataset/train.parquet").write_text("x")),
        ("MDL002", lambda project, _: os.environ.update(UV_OFFLINE="1")),
        ("GIT005", lambda project, _: (project.root / ".git/info/attributes").write_text("*.py -text\n")),
        *[
            (id, lambda project, _: os.environ.update(TZ="Asia/Tokyo"))
            for id in ("TST001", "MDL003", "PRF001", "REP001")
        ],
        ("MDL003", lambda project, _: os.environ.update(MLFLOW_TRACKING_TOKEN="new")),
        ("GIT005", lambda project, _: os.environ.update(NETRC="new")),
    ],
)
def test_each_part_of_what_decides_counts(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id: str, change: Callable[..., object]
) -> None:
    prefix = tmp_path / "environment"
    (prefix / "bin").mkdir(parents=True)
    (tmp_path / "python3").write_text("#!/bin/sh\n")
    (prefix / "bin/python").symlink_to(tmp_path / "python3")
    (prefix / "lib/python3.11/site-packages").mkdir(parents=True)
    (prefix / "lib/python3.11/site-packages/a.py").write_text("a = 1\n")
    monkeypatch.setenv(VARIABLE, str(prefix))
    for name in ("UV_OFFLINE", "TZ", "MLFLOW_TRACKING_TOKEN", "NETRC"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    (project.root / ".gitignore").write_text("/data\n")
    for folder in ("data/dataset", ".github/workflows"):
        (project.root / folder).mkdir(parents=True)
    for words in ("First", "Second"):
        (project.root / "README.md").write_text(words)
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message", words)
    project.git("switch", "--quiet", "--create", "change")
    before = key(project, id)
    assert before
    assert key(project, id) == before
    change(project, prefix)
    assert key(project, id) not in (before, None)


def test_compiled_code_that_others_left_decides_only_about_the_environment(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = tmp_path / "environment"
    compiled = prefix / "lib/python3.11/site-packages/__pycache__"
    compiled.mkdir(parents=True)
    monkeypatch.setenv(VARIABLE, str(prefix))
    before = key(project, "TST001"), key(project, "ENV005")
    (compiled / "a.cpython-311.pyc").write_bytes(b"x")
    assert key(project, "TST001") == before[0], "our Pythons keep theirs elsewhere"
    assert key(project, "ENV005") not in (before[1], None)


def test_what_was_changed_while_a_check_ran_is_not_kept(dvc_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are as before when it is asked again, and nobody can tell which ones it judged."""
    params, own = dvc_project.root / "params.yaml", GIT003.check
    before = params.read_text()

    def meanwhile(self: GIT003, workflows: Any) -> Finding:
        finding = own(self, workflows)
        params.write_text(before.replace("8", "9"))
        return changed(finding, reason="of other files")

    kept = ("GIT003", "GIT005", "DAT001")
    with monkeypatch.context() as patch:
        patch.setattr(GIT003, "check", meanwhile)
        assert judge(dvc_project, *kept)["GIT003"].reason == "of other files"
    params.write_text(before)
    for reused in (False, True):
        verdicts = judge(dvc_project, *kept)
        assert {verdict.reused for verdict in verdicts.values()} == {reused}
        assert verdicts["GIT003"].reason != "of other files"


def test_where_github_can_be_asked_its_answer_is_never_reused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert key(project, "GIT002")
    project.git("remote", "add", "origin", "https://github.com/lab/model")
    assert key(project, "GIT002")
    monkeypatch.setenv("GITHUB_TOKEN", "x")
    assert key(project, "GIT002") is None


def test_only_what_costs_nothing_or_needs_a_server_is_checked_each_time() -> None:
    undeclared = {id for id, cls in load_interlocks().items() if not cls.decided_by}
    assert undeclared == {"DOC001", "DOC002", "DOC003", "DOC004", "GIT001", "GIT006"}
    for id, cls in load_interlocks().items():
        assert id in undeclared or {"tree", "commit", "dvc"} & set(cls.decided_by), id


def test_a_commit_of_what_was_judged_runs_no_slow_check_again_and_those_of_the_commit(project: Project) -> None:
    project.git("switch", "--quiet", "--create", "change")
    (project.root / "new.py").write_text("x = 1\n")
    slow, fast = key(project, "REP001"), key(project, "GIT005")
    project.git("add", "--all")
    assert (key(project, "REP001"), key(project, "GIT005") != fast) == (slow, True)
    staged = key(project, "GIT005")
    project.git("commit", "--quiet", "--message", "The same files")
    assert (key(project, "REP001"), key(project, "GIT005") != staged) == (slow, True)
    (project.root / "new.py").write_text("x = 2\n")
    assert key(project, "REP001") != slow
