"""A project is checked against the contract of its base branch."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.git import SUBMODULE, GitError, find_top
from beampermit.interlocks.reuse import Reuse
from beampermit.processes import Finished, run
from beampermit.project import Project
from support.attacks import attack_case
from support.forked_commands import beampermit

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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "link",
    [
        attack_case(
            True,
            guard="own folder",
            tried="a branch has .beampermit as a link, so that what a check keeps is written through it",
            said="it is a link",
        ),
        attack_case(
            False,
            guard="own folder",
            tried="a branch has files in .beampermit, such as a verdict that nobody made",
            said="git has it",
        ),
    ],
)
def test_a_branch_brings_no_folder_of_ours(project: Project, git: Git, link: bool, said: str) -> None:
    folder = project.root / ".beampermit"
    (project.root / "src").mkdir()
    if link:
        folder.symlink_to("src")
    else:
        folder.mkdir()
        (folder / "verdicts.json").write_text("{}")
        git("add", "--force", ".beampermit")
    with pytest.raises(BadInput, match=said):
        _ = project.own
    assert list((project.root / "src").iterdir()) == []
    assert Reuse.of(project) is None, "a check goes on, and keeps nothing"


def test_a_folder_outside_git_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(BadInput, match="not in a git repository"):
        Project.find(tmp_path_factory.mktemp("bare"))


def test_a_folder_of_another_user_is_not_called_a_folder_outside_git(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(BadInput, match="another user owns this repository, so git does not read it") as error:
        Project.find(project.root)
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    assert error.value.hint == f"git config --global --add safe.directory {project.root}"


def test_a_repository_that_git_cannot_read_is_said_with_gits_reason(project: Project) -> None:
    inner = project.root / "inner"
    inner.mkdir()
    (inner / ".git").write_text("gitdir: /nowhere\n")
    with pytest.raises(BadInput, match="git cannot read this repository: not a git repository: /nowhere"):
        Project.find(inner)


@pytest.mark.slow
def test_a_repository_in_the_repository_is_no_part_of_the_tree_with_or_without_a_commit(
    project: Project, git: Git
) -> None:
    tree = git("rev-parse", "HEAD^{tree}")
    inner = project.root / "sub" / "[a] b"
    inner.mkdir(parents=True)
    git("init", "--quiet", cwd=inner)
    assert project.git.work_tree() == tree
    git("commit", "--quiet", "--allow-empty", "--message", "One", cwd=inner)
    assert project.git.work_tree() == tree
    assert project.git.work_files()["sub/[a] b"] == SUBMODULE
    (project.root / "sub/new").touch()
    assert project.git.work_tree() != tree


@pytest.mark.parametrize("name", [b"a\rb", b"a\xffb", b"a\r\nb"])
def test_a_folder_and_its_files_have_their_own_names(project: Project, git: Git, name: bytes) -> None:
    """And not those of a sound folder beside it."""
    for folder in (os.fsdecode(name), "a\nb"):
        (project.root / folder).mkdir()
        (project.root / folder / "who").write_text(folder, newline="", errors="surrogateescape")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Two folders")
    own = Project(project.root / os.fsdecode(name)).git
    assert own.prefix == f"{os.fsdecode(name)}/"
    assert own.tracked() == own.files_at("HEAD") == list(own.work_files()) == ["who"]
    assert find_top(own.root) == project.root
    assert own("rev-parse", f"HEAD:{own.prefix}who") == own("hash-object", "who")
    with own.apart() as apart:
        assert apart.head() == own.head()
    own("init", "--quiet")
    assert find_top(own.root) == own.root


def test_judging_writes_no_objects_into_the_repository(project: Project, git: Git) -> None:
    before = git("count-objects", "-v")
    (project.root / "new").write_text("new\n")
    tree = project.git.work_tree()
    with project.apart() as apart:
        assert apart.git.write_work_tree() == tree
        commit = apart.git("commit-tree", tree, "-m", "x")
        assert apart.git.read(commit, "new") == "new\n"
    assert git("count-objects", "-v") == before
    assert project.git.resolve(commit) is None


@pytest.mark.parametrize(
    ("said", "code", "hint"),
    [
        (
            "error: insufficient permission for adding an object to repository database .git/objects\nfatal: x",
            4,
            "user",
        ),
        ("fatal: Unable to create '/x/index.lock': Read-only file system", 4, "user"),
        ("fatal: write error: No space left on device", 4, "df -h ."),
        ("fatal: bad revision 'x'", 2, ""),
        ("remote: error: insufficient permission for adding an object\nfatal: remote unpack failed", 2, ""),
        ("git@host: Permission denied (publickey).\nfatal: Could not read from remote repository.", 2, ""),
    ],
)
def test_what_git_may_not_write_is_no_fault_of_the_project(said: str, code: int, hint: str) -> None:
    error = GitError(Finished(("git", "add"), 128, "", said))
    assert error.exit_code == code
    assert hint in error.hint
    assert "\n" not in str(error)


@pytest.mark.slow
def test_a_read_only_work_tree_is_said_and_judged_where_nothing_is_kept(project: Project) -> None:
    """In a mount of its own, which the end of the process takes away."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && exec "$@"'
    command = str(Path(sys.executable).with_name("beampermit"))

    def run_there(*words: str) -> Finished:
        return run(["unshare", "--map-root-user", "--mount", "sh", "-c", mount, project.root, *words], cwd=project.root)

    if run_there("true").code:
        pytest.skip("this machine lets nobody mount a folder")
    (project.root / "new").touch()
    kept = run_there(command, "check", "DOC001", "GIT005")
    assert kept.code == 4
    assert kept.err == (
        f"beampermit: {project.root}/.beampermit: read-only file system\n      next: ls -ld {project.root}\n"
    )
    fresh = run_there(command, "check", "DOC001", "GIT005", "--fresh", "--all")
    assert (fresh.code, fresh.err) == (0, "")


def test_nothing_committed_is_said_before_any_verdict_with_the_command(project: Project, git: Git) -> None:
    project.refuse_uncommitted()
    new = project.root / "models/orbit"
    shutil.copytree(project.root, new, ignore=shutil.ignore_patterns(".git"))
    said = "nothing of this project is committed"
    with pytest.raises(BadInput, match=said):  # a folder of a repository with commits
        Project(new).refuse_uncommitted()
    git("add", "models")
    git("commit", "-q", "-m", "Orbit")
    Project(new).refuse_uncommitted()
    shutil.rmtree(project.root / ".git")
    git("init", "-q")
    done = beampermit("check", cwd=project.root)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert 'next: git add . && git commit -m "A new project"' in done.stderr
    assert "passed" in beampermit("check", "DOC001", "--all", cwd=project.root).stdout, "one that was asked for"
