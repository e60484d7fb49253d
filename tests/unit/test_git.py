"""A base is a branch of origin or a full hash: tags, replaced objects and names that end alike never stand for one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.changes.contract_changes import compare_contracts
from beampermit.contract import parse_contract
from beampermit.errors import BadInput
from beampermit.git import resolve_base
from beampermit.project import Project
from support.attacks import attack_case
from support.dvc_repositories import replace

pytestmark = pytest.mark.slow

Git = Callable[..., str]
Trick = Callable[[Git], object]
LENIENT = "lenient"
"""The pull request's branch, whose contract asks for less than origin's main."""


@pytest.fixture
def pull_request(project: Project, git: Git) -> Project:
    """A clone with origin's strict `main`, on a branch whose contract lowers a gate to 0.5."""
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    git("switch", "--quiet", "--create", LENIENT)
    replace(project.root / "contract.yaml", "gate: 0.95", "gate: 0.5")
    git("commit", "--quiet", "--all", "--message", "Ask for less")
    return Project(project.root)


def _direct_head(git: Git) -> None:
    """What a plain fetch makes of a branch on origin that is called HEAD."""
    git("symbolic-ref", "--delete", "refs/remotes/origin/HEAD")
    git("update-ref", "refs/remotes/origin/HEAD", LENIENT)


def _named(name: str) -> Trick:
    return lambda git: git("update-ref", name, LENIENT)


@pytest.mark.parametrize(
    "trick",
    [
        attack_case(
            _named("refs/tags/origin/main"),
            guard="base",
            tried="a tag is called origin/main",
            said="metrics.auc.gate 0.95 -> 0.5",
            id="tag",
        ),
        attack_case(
            lambda git: git("tag", "--annotate", "--message", "x", "origin/main", LENIENT),
            guard="base",
            tried="an annotated tag is called origin/main",
            said="metrics.auc.gate 0.95 -> 0.5",
            id="annotated tag",
        ),
        attack_case(
            _named("refs/tags/refs/remotes/origin/main"),
            guard="base",
            tried="a tag is called refs/remotes/origin/main",
            said="metrics.auc.gate 0.95 -> 0.5",
            id="tag as long",
        ),
        attack_case(
            _named("refs/heads/origin/main"),
            guard="base",
            tried="a local branch is called origin/main",
            said="metrics.auc.gate 0.95 -> 0.5",
            id="local branch",
        ),
        attack_case(
            _named("refs/origin/main"),
            guard="base",
            tried="a ref is called refs/origin/main",
            said="metrics.auc.gate 0.95 -> 0.5",
            id="ref",
        ),
        attack_case(
            _named("refs/remotes/origin/origin/main"),
            guard="base",
            tried="a branch of origin is called origin/main",
            said="metrics.auc.gate 0.95 -> 0.5",
            id="branch of origin",
        ),
        attack_case(
            _direct_head,
            guard="base",
            tried="a branch of origin is called HEAD, which a plain fetch makes origin/HEAD",
            said="metrics.auc.gate 0.95 -> 0.5",
            id="HEAD",
        ),
        attack_case(
            lambda git: git("replace", "refs/remotes/origin/main", LENIENT),
            guard="base",
            tried="git replace shows a lenient commit instead of the tip of origin's main",
            said="metrics.auc.gate 0.95 -> 0.5",
            id="replaced commit",
        ),
        attack_case(
            lambda git: git("replace", "refs/remotes/origin/main:contract.yaml", f"{LENIENT}:contract.yaml"),
            guard="base",
            tried="git replace shows a lenient contract instead of the one on origin's main",
            said="metrics.auc.gate 0.95 -> 0.5",
            id="replaced file",
        ),
    ],
)
def test_nothing_but_the_branch_of_origin_is_the_base(
    pull_request: Project, git: Git, monkeypatch: pytest.MonkeyPatch, trick: Trick, said: str
) -> None:
    strict = git("rev-parse", "refs/remotes/origin/main")
    trick(git)
    for variables in ({"GITHUB_BASE_REF": "main"}, {}):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            judged = Project(pull_request.root)
            assert judged.base == strict
            assert said in compare_contracts(judged.base_contract, judged.contract).lines("metrics")


@pytest.mark.attack(
    guard="base",
    tried="the default branch is master, and somebody pushes a lenient branch called main before a release",
    said="metrics.auc.gate 0.95 -> 0.5",
)
def test_a_job_takes_the_default_branch_from_the_event(
    pull_request: Project, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    git("update-ref", "refs/remotes/origin/master", "refs/remotes/origin/main")
    git("update-ref", "refs/remotes/origin/main", LENIENT)
    git("symbolic-ref", "--delete", "refs/remotes/origin/HEAD")  # as actions/checkout leaves it
    _event(monkeypatch, tmp_path, {"repository": {"default_branch": "master"}}, GITHUB_REF="refs/heads/topic")
    assert pull_request.protected_branch == "master"
    assert said in compare_contracts(pull_request.base_contract, pull_request.contract).lines("metrics")
    git("update-ref", "-d", "refs/remotes/origin/master")
    with pytest.raises(BadInput, match="base revision 'origin/master' is not in this clone"):
        _ = Project(pull_request.root).base


def test_a_release_of_a_protected_branch_that_is_not_the_default_one_has_no_base(
    pull_request: Project, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as `main`, where the default branch is `develop`."""
    git("update-ref", "refs/remotes/origin/develop", "refs/remotes/origin/main")
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    event = {"repository": {"default_branch": "develop"}}
    _event(monkeypatch, tmp_path, event, GITHUB_REF="refs/heads/main", GITHUB_REF_PROTECTED="true")
    assert Project(pull_request.root).base is None
    monkeypatch.setenv("GITHUB_REF_PROTECTED", "false")
    assert Project(pull_request.root).base == git("rev-parse", "refs/remotes/origin/develop")


@pytest.mark.parametrize("ref", ["refs/heads/topic", "refs/tags/v1"])
@pytest.mark.attack(
    guard="base",
    tried="a job runs for a push to a branch that GitHub does not protect, or to a tag, with a lenient contract",
    said="metrics.auc.gate 0.95 -> 0.5",
)
def test_a_push_to_a_branch_without_protection_is_judged_by_the_default_branch(
    pull_request: Project, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: str, said: str
) -> None:
    git("update-ref", "refs/remotes/origin/topic", "HEAD")
    protected = "true" if ref.startswith("refs/tags/") else "false"
    event = {"repository": {"default_branch": "main"}}
    _event(monkeypatch, tmp_path, event, GITHUB_REF=ref, GITHUB_REF_PROTECTED=protected)
    assert said in compare_contracts(pull_request.base_contract, pull_request.contract).lines("metrics")


def test_a_release_of_the_default_branch_has_no_base(
    pull_request: Project, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("update-ref", "refs/remotes/origin/master", "HEAD")
    event = {"repository": {"default_branch": "master"}}
    _event(monkeypatch, tmp_path, event, GITHUB_REF="refs/heads/master", GITHUB_EVENT_NAME="push")
    assert Project(pull_request.root).base is None
    git("update-ref", "-d", "refs/remotes/origin/master")  # a clone without branches of origin
    assert Project(pull_request.root).base is None


def _event(patch: pytest.MonkeyPatch, folder: Path, event: object, **variables: str) -> None:
    (folder / "event.json").write_text(json.dumps(event))
    more = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(folder / "event.json")}
    for name, value in {**more, **variables}.items():
        patch.setenv(name, value)


@pytest.mark.parametrize("name", ["main", "origin/main", "refs/remotes/origin/main", "origin/HEAD"])
@pytest.mark.parametrize("local", [True, False])
def test_each_name_of_the_branch_of_origin_is_it(pull_request: Project, git: Git, name: str, local: bool) -> None:
    git("branch", "--force", "main", LENIENT)  # commits of a person that are not pushed
    assert resolve_base(pull_request.git, name, local=local) == git("rev-parse", "refs/remotes/origin/main")


def test_a_person_may_also_mean_what_is_only_in_this_clone(pull_request: Project, git: Git) -> None:
    git("branch", "mine", LENIENT)
    first, last = git("rev-parse", "refs/remotes/origin/main"), git("rev-parse", "HEAD")
    meant = {"mine": last, "HEAD": last, "HEAD~1": first, "HEAD^": first, "mine~1": first, last[:9]: last, last: last}
    for name, commit in meant.items():
        assert resolve_base(pull_request.git, name) == commit
    for name in ("mine~9", "HEAD@{1}", "no^such", "", "-x", ":/Ask", "main:contract.yaml", "abcdef"):
        with pytest.raises(BadInput, match="is not in this clone"):
            resolve_base(pull_request.git, name)


def test_in_a_workflow_only_origin_and_full_hashes_count(pull_request: Project, git: Git) -> None:
    last = git("rev-parse", "HEAD")
    assert resolve_base(pull_request.git, last, local=False) == last
    with pytest.raises(BadInput, match="the base 'lenient' is refs/heads/lenient, and a base is a branch of origin"):
        resolve_base(pull_request.git, LENIENT, local=False)
    for name in ("HEAD", "HEAD~1", last[:9], "main~0", last.upper(), "0" * 40):
        with pytest.raises(BadInput, match="is not in this clone"):
            resolve_base(pull_request.git, name, local=False)


@pytest.mark.attack(
    guard="base",
    tried="in a workflow, --base names a branch that a step of the job has made",
    said="the base 'lenient' is refs/heads/lenient, and a base is a branch of origin",
)
def test_a_branch_that_a_job_makes_is_no_base(
    pull_request: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    _event(monkeypatch, tmp_path, {})
    with pytest.raises(BadInput, match=said):
        _ = Project(pull_request.root, base=LENIENT).base


@pytest.mark.parametrize("named", ["main", "HEAD", "0" * 39])
@pytest.mark.attack(
    guard="base",
    tried="the event of a merge group names its base otherwise than by a full hash",
    said="this merge_group event has no base_sha",
)
def test_a_merge_group_names_its_base_by_a_full_hash(
    pull_request: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, said: str
) -> None:
    _event(monkeypatch, tmp_path, {"merge_group": {"base_sha": named}}, GITHUB_EVENT_NAME="merge_group")
    with pytest.raises(BadInput, match=said):
        _ = pull_request.base


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        attack_case(
            "refs/tags/strict",
            "strict",
            guard="base",
            tried="--base names a tag",
            said="the base 'strict' is refs/tags/strict",
        ),
        attack_case(
            "refs/tags/refs/remotes/origin/strict",
            "refs/remotes/origin/strict",
            guard="base",
            tried="--base names a branch that origin does not have, and a tag has its full name",
            said="the base revision 'refs/remotes/origin/strict' is not in this clone",
        ),
        attack_case(
            "refs/tags/origin/main",
            "origin/main",
            guard="base",
            tried="--base names a branch of origin, and a tag is called the same",
            said="'origin/main' is ambiguous: refs/remotes/origin/main and refs/tags/origin/main are",
        ),
        attack_case(
            "refs/heads/origin/main",
            "origin/main",
            guard="base",
            tried="--base names a branch of origin, and a local branch is called the same",
            said="'origin/main' is ambiguous: refs/remotes/origin/main and refs/heads/origin/main are",
        ),
        attack_case(
            "refs/tags/main",
            "main~0",
            guard="base",
            tried="--base counts back from a branch, and a tag is called the same",
            said="'main' is ambiguous: refs/remotes/origin/main and refs/tags/main are",
        ),
    ],
)
def test_a_base_that_is_a_tag_or_could_be_another_commit_is_refused(
    pull_request: Project, git: Git, ref: str, name: str, said: str
) -> None:
    git("update-ref", ref, LENIENT)
    with pytest.raises(BadInput, match=re.escape(said)):
        _ = Project(pull_request.root, base=name).base


@pytest.mark.attack(
    guard="base",
    tried="--base names origin/HEAD, and a branch of origin is called HEAD",
    said="the base revision 'origin/HEAD' is not in this clone",
)
def test_a_branch_called_head_is_not_the_default_branch(pull_request: Project, git: Git, said: str) -> None:
    _direct_head(git)
    for name in ("origin/HEAD", "refs/remotes/origin/HEAD"):
        with pytest.raises(BadInput, match=re.escape(said.replace("origin/HEAD", name))):
            _ = Project(pull_request.root, base=name).base


def test_a_tag_of_the_same_commit_is_no_other_meaning(pull_request: Project, git: Git) -> None:
    git("tag", "main", "refs/remotes/origin/main")
    assert Project(pull_request.root, base="main").base == git("rev-parse", "refs/remotes/origin/main")


def test_two_commits_that_begin_alike_are_ambiguous(pull_request: Project, git: Git) -> None:
    tree, seen = git("rev-parse", "HEAD^{tree}"), set[str]()
    while True:
        start = git("commit-tree", tree, "-m", str(len(seen)))[:4]
        if start in seen:
            break
        seen.add(start)
    with pytest.raises(BadInput, match=f"the base '{start}' is ambiguous: {start}[0-9a-f]+ and {start}"):
        resolve_base(pull_request.git, start)


@pytest.mark.attack(
    guard="base",
    tried="origin has a branch called a/refs/heads/main, which git ls-remote lists before main",
    said="refs/heads/a/refs/heads/main",
)
def test_the_tip_of_a_branch_on_the_remote_is_of_exactly_this_branch(
    pull_request: Project, git: Git, said: str
) -> None:
    git("update-ref", said, LENIENT)
    git("remote", "add", "origin", ".")
    answer, tip = pull_request.git.remote_tip("origin", "main")
    assert said in answer.out.splitlines()[0]
    assert tip == git("rev-parse", "refs/heads/main") != git("rev-parse", LENIENT)
    assert pull_request.git.remote_tip("origin", "none")[1] == ""
    git("remote", "set-url", "origin", "/nowhere")
    answer, tip = pull_request.git.remote_tip("origin", "main")
    assert (answer.code != 0, tip) == (True, "")


@pytest.mark.attack(
    guard="base",
    tried="a graft makes the pull request a part of origin's main, so that it seems merged and nothing differs",
    said="metrics.auc.gate 0.95 -> 0.5",
)
def test_grafts_of_a_clone_are_not_read(pull_request: Project, git: Git, said: str) -> None:
    head, base = git("rev-parse", "HEAD"), git("rev-parse", "refs/remotes/origin/main")
    (pull_request.root / ".git/info/grafts").write_text(f"{head}\n{base} {head}\n")
    before = BaseAndHead(pull_request).before("contract.yaml")
    assert before is not None
    assert said in compare_contracts(parse_contract(before, "before"), pull_request.contract).lines("metrics")
    assert not pull_request.merged


@pytest.mark.attack(
    guard="base",
    tried="GIT_DIR, GIT_OBJECT_DIRECTORY and the like, set by an earlier step, name another repository",
    said="`metrics.auc.gate`",
)
def test_variables_that_name_another_repository_are_dropped(
    pull_request: Project, git: Git, tmp_path: Path, said: str
) -> None:
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "--quiet", "--branch", LENIENT, pull_request.root, other], check=True)
    git("update-ref", "refs/remotes/origin/main", "HEAD", cwd=other)
    foreign = {"GIT_DIR": ".git", "GIT_OBJECT_DIRECTORY": ".git/objects", "GIT_INDEX_FILE": ".git/index"}
    variables = {
        **os.environ,
        **{name: str(other / path) for name, path in foreign.items()},
        "GIT_WORK_TREE": str(other),
        "GIT_NAMESPACE": "x",
        "GITHUB_ACTIONS": "true",
    }
    (tmp_path / "verdicts").mkdir()
    words = ("report", "--verdicts", str(tmp_path / "verdicts"), "--out", str(tmp_path / "report"))
    command = (sys.executable, "-m", "beampermit.cli.main", *words)
    subprocess.run(command, cwd=pull_request.root, env=variables, check=False, capture_output=True)
    assert said in (tmp_path / "report/report.md").read_text()


def test_a_hook_of_git_still_sees_the_next_commit(pull_request: Project, git: Git) -> None:
    """`git commit --all` gives its hooks an index of their own."""
    hook = pull_request.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m beampermit.cli.main data staged\n")
    hook.chmod(0o755)
    (pull_request.root / "notes.md").write_text("small\n")
    git("add", "notes.md")
    git("commit", "--quiet", "--message", "Small")
    (pull_request.root / "notes.md").write_text("large\n" * 2**19)
    command = ("git", "commit", "--quiet", "--all", "--message", "Large")
    refused = subprocess.run(command, cwd=pull_request.root, check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "notes.md: 3.0 MiB; the limit is 2.0 MiB" in refused.stdout + refused.stderr
