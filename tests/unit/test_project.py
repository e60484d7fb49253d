"""A project is judged against its base branch, which a pull request names and cannot choose."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from beampermit.errors import BadInput
from beampermit.project import Project

Git = Callable[..., str]


def test_without_a_base_the_projects_own_contract_judges(project: Project) -> None:
    assert project.base is None
    assert project.base_contract == project.contract


def test_the_base_branchs_contract_judges_a_lowered_gate(project: Project, git: Git) -> None:
    git("branch", "before")
    file = project.root / "contract.yaml"
    file.write_text(file.read_text().replace("gate: 0.95", "gate: 0.5"))
    git("commit", "--quiet", "--all", "--message", "Lower the gate")
    judged = Project(project.root, base="before")
    assert judged.contract.metrics[0].gate == 0.5
    assert judged.base_contract.metrics[0].gate == 0.95


def test_github_names_the_base_of_a_pull_request(project: Project, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    git("commit", "--quiet", "--allow-empty", "--message", "More")
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    assert project.base == git("rev-parse", "origin/main")


def test_a_base_that_is_not_there_is_an_error_and_not_no_base(project: Project) -> None:
    with pytest.raises(BadInput, match="base revision 'nowhere' is not in this clone"):
        _ = Project(project.root, base="nowhere").base


def test_the_work_tree_has_a_tree_id_that_sees_new_and_edited_files_but_not_ignored_ones(
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
    with pytest.raises(BadInput, match="in no git repository"):
        Project.find(tmp_path_factory.mktemp("bare"))
