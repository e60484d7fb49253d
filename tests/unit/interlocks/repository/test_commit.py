"""GIT005 with planted defects: files that decide and are only on this machine, links, submodules."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.attacks import attack_case
from support.dvc_repositories import remake, replace

Plant = Callable[[Project], None]


def git005(project: Project) -> Verdict:
    (verdict,) = check(Project(project.root), select_interlocks(["GIT005"]))
    return verdict


@pytest.mark.slow
def test_a_sound_project_passes(dvc_project: Project) -> None:
    assert git005(dvc_project).reason == "every file that decides about the model is in the commit"


def test_a_repository_without_dvc_passes_with_its_new_files(project: Project) -> None:
    (project.root / "CODEOWNERS").write_text("* @ada\n")
    assert git005(project).passed
    (project.root / "contract.yaml").unlink()
    assert git005(project).passed


def ignored(*paths: str) -> Plant:
    """Git neither has the files nor adds them; they stay where they are."""

    def plant(project: Project) -> None:
        (project.root / ".gitignore").write_text("".join(f"/{path}\n" for path in paths))
        project.git("rm", "--quiet", "-r", "--cached", *paths)
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message", "Less")

    return plant


def link(path: str, target: str) -> Plant:
    """The file is moved to `target`, and a link to it takes its place."""

    def plant(project: Project) -> None:
        file = project.root / path
        (project.root / target).parent.mkdir(parents=True, exist_ok=True)
        file.rename(project.root / target)
        file.symlink_to(project.root / target)
        project.git("add", "--all")

    return plant


def ignored_code(project: Project) -> None:
    """A stage reads a folder in which git ignores one file."""
    (project.root / "code").mkdir()
    for name in ("seen.py", "unseen.py"):
        (project.root / "code" / name).write_text("x = 1\n")
    (project.root / ".gitignore").write_text("unseen.py\n")
    replace(project.root / "dvc.yaml", "deps: [make.py]", "deps: [make.py, code]")
    remake(project.root)
    project.git("add", "--all")


def submodule(at: str) -> Plant:
    def plant(project: Project) -> None:
        other = project.root.parent / "other"
        subprocess.run(["git", "init", "--quiet", other], check=True)
        (other / "model.py").write_text("x = 1\n")
        subprocess.run(["git", "-C", other, "add", "--all"], check=True)
        subprocess.run(["git", "-C", other, "commit", "--quiet", "--message", "x"], check=True)
        project.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), at)

    return plant


def repository(at: str) -> Plant:
    """Git neither adds a repository without a commit nor looks into it."""

    def plant(project: Project) -> None:
        project.git("init", "--quiet", at)
        (project.root / at / "model.py").write_text("x = 1\n")

    return plant


def submodule_of_a_stage(project: Project) -> None:
    submodule("library")(project)
    replace(project.root / "dvc.yaml", "deps: [make.py]", "deps: [make.py, library/model.py]")
    remake(project.root)


def re_encoded(path: str) -> Plant:
    """What people see of the commit are two texts; a checkout has a backslash for the yen, and a call."""

    def plant(project: Project) -> None:
        file = project.root / path
        file.parent.mkdir(exist_ok=True)
        file.write_text('UNITS = "¥", "; print(len(UNITS)) #"\n')
        project.git("add", "--all")
        (project.root / ".gitattributes").write_text(f"/{path} working-tree-encoding=ISO646-JP\n")
        file.unlink()
        project.git("checkout", "--quiet", "--", path)
        assert file.read_bytes() == b'UNITS = "\\", "; print(len(UNITS)) #"\n'
        assert project.git("diff", "--", path) == "", "git sees no change"

    return plant


def pipeline_that_is_a_link(project: Project) -> None:
    (project.root / "parts").mkdir()
    for name in ("dvc.yaml", "dvc.lock"):
        (project.root / "parts" / name).write_text("stages: {}\n")
    link("parts/dvc.lock", "notes/lock.yaml")(project)


@pytest.mark.slow
@pytest.mark.plants("GIT005")
@pytest.mark.parametrize(
    "plant",
    [
        attack_case(
            ignored("dvc.lock"),
            guard="GIT005",
            tried="`dvc.lock` is on this machine only, and git ignores it",
            said="dvc.lock is ignored by git, so it is not in the commit",
        ),
        attack_case(
            ignored("contract.yaml"),
            guard="GIT005",
            tried="the contract is on this machine only",
            said="contract.yaml is ignored by git, so it is not in the commit",
        ),
        attack_case(
            ignored("data/raw.json"),
            guard="GIT005",
            tried="a stage's result that DVC does not store is on this machine only",
            said="data/raw.json is not in the commit, for git ignores it or a link leads to it; stage raw makes it",
        ),
        attack_case(
            ignored("data/dataset.json"),
            guard="GIT005",
            tried="the lineage of the data is on this machine only",
            said="data/dataset.json is not in the commit",
        ),
        attack_case(
            ignored("params.yaml"),
            guard="GIT005",
            tried="the parameters are on this machine only",
            said="params.yaml is not in the commit, for git ignores it or a link leads to it; stage raw reads it",
        ),
        attack_case(
            ignored("make.py"),
            guard="GIT005",
            tried="the code of a stage is on this machine only",
            said="make.py is not in the commit",
        ),
        attack_case(
            ignored("labels"),
            guard="GIT005",
            tried="the labels that people reviewed are on this machine only",
            said="labels/reviewed.csv is not in the commit, for git ignores it or a link leads to it",
        ),
        attack_case(
            ignored_code,
            guard="GIT005",
            tried="one file of the folder of code that a stage reads is ignored by git",
            said="code/unseen.py is not in the commit",
        ),
        attack_case(
            link("contract.yaml", "docs/lenient.yaml"),
            guard="GIT005",
            tried="the contract is a link to a file that nobody owns",
            said="contract.yaml is a link, and a file is needed here",
        ),
        attack_case(
            link("dvc.lock", "notes/lock.yaml"),
            guard="GIT005",
            tried="`dvc.lock` is a link to another file of the project",
            said="dvc.lock is a link, and a file is needed here",
        ),
        attack_case(
            re_encoded("tests/test_units.py"),
            guard="GIT005",
            tried="an encoding in `.gitattributes`: a quote of the code that people see is part of a text in checkouts",
            said="tests/test_units.py is checked out in ISO646-JP, so it is another file than people see",
        ),
        attack_case(
            pipeline_that_is_a_link,
            guard="GIT005",
            tried="the `dvc.lock` of a pipeline in a folder is a link to a file that nobody owns",
            said="parts/dvc.lock is a link, and a file is needed here",
        ),
        attack_case(
            link("data/raw.json", ".git/raw.json"),
            guard="GIT005",
            tried="a record is a link to a file inside `.git`",
            said="is not in the commit",
        ),
        attack_case(
            submodule("src/library"),
            guard="GIT005",
            tried="code of the model is in a submodule",
            said="src/library is a submodule, so the code that it holds is not in the commit",
        ),
        attack_case(
            repository("src/library"),
            guard="GIT005",
            tried="code of the model is in a repository of its own in the project, without a commit",
            said="src/library is a repository of its own, so the code that it holds is not in the commit",
        ),
        attack_case(
            submodule_of_a_stage,
            guard="GIT005",
            tried="a stage reads code of a submodule",
            said="library is a submodule, so what it holds is not in the commit; stage raw reads it",
        ),
    ],
)
def test_what_decides_and_is_not_in_the_commit_is_named(dvc_project: Project, plant: Plant, said: str) -> None:
    plant(dvc_project)
    verdict = git005(dvc_project)
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason


@pytest.mark.slow
def test_an_encoding_that_changes_nothing_and_one_of_a_file_that_nothing_reads_pass(dvc_project: Project) -> None:
    lines = (
        "*.py working-tree-encoding=utf-8",
        "*.yaml -working-tree-encoding",
        "*.ps1 working-tree-encoding=UTF-16LE",
    )
    (dvc_project.root / ".gitattributes").write_text("".join(f"{line}\n" for line in lines))
    (dvc_project.root / "install.ps1").write_bytes("Write-Host\r\n".encode("utf-16-le"))
    assert git005(dvc_project).passed


def test_a_folder_of_workflows_that_is_a_link_is_named(dvc_project: Project) -> None:
    (dvc_project.root / "shared/workflows").mkdir(parents=True)
    (dvc_project.root / "shared/workflows/w.yml").write_text("on: push\n")
    (dvc_project.root / ".github").mkdir()
    (dvc_project.root / ".github/workflows").symlink_to("../shared/workflows")
    assert git005(dvc_project).reason == ".github/workflows is a link, and a file is needed here"


def linked_cache(project: Project) -> None:
    """The data are links into a cache that is somewhere else."""
    cache = project.root / ".dvc/cache"
    cache.rename(project.root.parent / "cache")
    cache.symlink_to(project.root.parent / "cache")
    file = project.root / "data/raw.parquet"
    stored = next(file for file in (project.root.parent / "cache").rglob("*") if file.is_file())
    file.unlink()
    file.symlink_to(stored)


def linked_parameters(project: Project) -> None:
    link("params.yaml", "settings/params.yaml")(project)


def hidden_from_both(project: Project) -> None:
    """A file that is made at installation: neither in git nor in any hash."""
    ignored_code(project)
    (project.root / ".dvcignore").write_text("unseen.py\n")


def compiled(project: Project) -> None:
    ignored_code(project)
    (project.root / "code/unseen.py").unlink()
    (project.root / "code/__pycache__").mkdir()
    (project.root / "code/__pycache__/seen.cpython-311.pyc").write_bytes(b"x")
    (project.root / ".gitignore").write_text("__pycache__\n")


def outputs_that_never_ran(project: Project) -> None:
    """Stages whose results are not made yet."""
    with (project.root / "dvc.yaml").open("a") as stream:
        stream.write("  train:\n    cmd: x\n    deps: [data/dataset]\n    outs: [model, new: {cache: false}]\n")


def records_in_dvc(project: Project) -> None:
    """A record that DVC stores is bound by its hash."""
    replace(project.root / "dvc.yaml", "data/raw.json: {cache: false}", "data/raw.json")
    project.git("rm", "--quiet", "--cached", "data/raw.json")
    remake(project.root)


@pytest.mark.slow
@pytest.mark.parametrize(
    "plant",
    [linked_cache, linked_parameters, hidden_from_both, compiled, outputs_that_never_ran, records_in_dvc],
    ids=lambda plant: plant.__name__,
)
def test_odd_but_sound_projects_pass(dvc_project: Project, plant: Plant) -> None:
    plant(dvc_project)
    assert git005(dvc_project).reason == "every file that decides about the model is in the commit"


@pytest.mark.slow
@pytest.mark.parametrize("at", ["docs/theme", "third_party/simulator"])
def test_a_submodule_that_nothing_reads_is_only_shown(dvc_project: Project, at: str) -> None:
    submodule(at)(dvc_project)
    verdict = git005(dvc_project)
    assert verdict.passed
    assert verdict.reason.endswith(f"; other repositories in it, which nothing reads: {at}")


@pytest.mark.attack(
    guard="contract",
    tried="the contract is a link to a file that anybody may change",
    said="the contract is a link; put the file in its place, which its owners review",
)
def test_a_contract_that_is_a_link_is_not_read(project: Project, said: str) -> None:
    link("contract.yaml", "lenient.yaml")(project)
    with pytest.raises(BadInput, match=said):
        _ = Project(project.root).contract


@pytest.mark.slow
def test_the_base_branch_moves_no_limit_here(dvc_project: Project) -> None:
    """A pull request that stops ignoring what its base ignores passes: the commit counts, not the base."""
    ignored("data/raw.json")(dvc_project)
    base = dvc_project.git.head()
    Path(dvc_project.root, ".gitignore").unlink()
    (verdict,) = check(Project(dvc_project.root, base=base), select_interlocks(["GIT005"]))
    assert verdict.passed
