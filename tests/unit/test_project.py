"""A project is checked against the contract of its base branch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from beampermit.errors import BadInput
from beampermit.project import Project

Git = Callable[..., str]


def test_without_a_base_gates_come_from_the_projects_own_contract(project: Project) -> None:
    assert project.base is None
    assert project.base_contract == project.contract


def test_a_lowered_gate_is_read_from_the_base_branchs_contract(project: Project, git: Git) -> None:
    git("branch", "before")
    file = project.root / "contract.yaml"
    file.write_text(file.read_text().replace("gate: 0.95", "gate: 0.5"))
    git("commit", "--quiet", "--all", "--message", "Lower the gate")
    branch = Project(project.root, base="before")
    assert branch.contract.metrics[0].gate == 0.5
    assert branch.base_contract.metrics[0].gate == 0.95


def test_github_names_the_base_of_a_pull_request(project: Project, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    git("commit", "--quiet", "--allow-empty", "--message", "More")
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    assert project.base == git("rev-parse", "origin/main")


def test_a_named_base_that_does_not_exist_is_an_error(project: Project) -> None:
    with pytest.raises(BadInput, match="base revision 'nowhere' is not in this clone"):
        _ = Project(project.root, base="nowhere").base


def test_the_tree_id_of_the_work_tree_covers_new_and_edited_files_but_not_ignored_ones(
    project: Project, git: Git
) -> None:
    assert project.git.work_tree() == git("rev-parse", "HEAD^{tree}")
    (project.root / ".git/info/exclude").write_text("ignored\n")
    (project.root / "ignored").touch()
    assert project.git.work_tree() == git("rev-parse", "HEAD^{tree}")
    (project.root / "new").touch()
    assert project.git.work_tree() != git("rev-parse", "HEAD^{tree}")
    assert git("status", "--porcelain") == "?? new"


def test_a_folder_outside_git_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(BadInput, match="not in a git repository"):
        Project.find(tmp_path_factory.mktemp("bare"))
