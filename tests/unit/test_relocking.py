"""`beampermit env relock`: what moved is a branch and one pull request, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from beampermit.environments.uv import Uv
from beampermit.errors import Conflict, Outside
from beampermit.git import Git
from beampermit.github.client import Client
from beampermit.github.pull_requests import open_pull_request
from beampermit.relocking import BRANCH, relock
from support.git_repositories import add_origin, committed
from support.github_server import lost
from support.github_stand_in import GitHub, Token
from support.package_index import PYTHON, Index, uv_settings

pytestmark = pytest.mark.slow

__all__ = ["uv_settings"]


@pytest.fixture
def client(github: GitHub) -> Client:
    return Client(github.repository, "s3cret", github.url)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    found = Index(tmp_path / "index")
    for name in ("numbers", "colours"):
        found.add(name, "1.0")
    yield found
    found.close()


@pytest.fixture
def root(uv_settings: Path, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A locked project with an origin; meanwhile the index has something newer of all."""
    monkeypatch.delenv("GITHUB_REF_NAME", raising=False)
    assert uv_settings
    root = tmp_path / "faults"
    root.mkdir()
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "faults"\nversion = "1"\nrequires-python = "{PYTHON}"\n'
        f'dependencies = ["numbers", "colours"]\n[[tool.uv.index]]\nurl = "{index.url}"\ndefault = true\n'
    )
    Uv().lock(root, progress=lambda _: None)
    git = committed(root)
    add_origin(root)
    git("remote", "set-head", "origin", "main")
    for name in ("numbers", "colours"):
        index.add(name, "1.1")
    return root


def quiet(_: str) -> None:
    pass


def test_what_moved_is_proposed_and_the_work_tree_s_branch_stays(root: Path, client: Client, github: GitHub) -> None:
    head = Git(root).head()
    done = relock(root, client, (), quiet)
    assert done.address == "https://git.example/lab/faults/pull/1"
    assert [(change.name, change.after) for change in done.changes] == [("colours", "1.1"), ("numbers", "1.1")]
    asked = github.pulls[1]
    assert (asked["head"]["ref"], asked["base"]["ref"]) == (BRANCH, "main")
    assert asked["title"] == "Update the lock"
    assert "`numbers`" in asked["body"]
    git = Git(root)
    assert (git.head(), git("branch", "--show-current")) == (head, "main")
    git("fetch", "--quiet", "origin", BRANCH)
    assert git("diff", "--name-only", "HEAD", "FETCH_HEAD") == "uv.lock"


def test_one_package_moves_alone_on_a_branch_of_its_own(root: Path, client: Client, github: GitHub) -> None:
    done = relock(root, client, ["numbers"], quiet)
    assert [change.name for change in done.changes] == ["numbers"]
    assert github.pulls[1]["head"]["ref"] == f"{BRANCH}-numbers"


def test_the_next_week_brings_the_open_pull_request_up_to_date(
    root: Path, client: Client, github: GitHub, index: Index
) -> None:
    relock(root, client, (), quiet)
    Git(root)("checkout", "--quiet", "--", "uv.lock")
    index.add("numbers", "1.2")
    done = relock(root, client, (), quiet)
    assert len(github.pulls) == 1
    assert done.address == github.pulls[1]["html_url"]
    assert "`1.2`" in github.pulls[1]["body"]


def test_where_nothing_moved_nothing_is_asked(root: Path, client: Client, github: GitHub) -> None:
    Uv().lock(root, update=["*"], progress=quiet)
    Git(root)("commit", "--quiet", "--all", "-m", "By hand")
    assert relock(root, client, (), quiet).address is None
    assert github.asked == []
    assert "relock" not in Git(root)("ls-remote", "origin")


def test_what_somebody_committed_to_the_branch_is_not_overwritten(
    root: Path, client: Client, github: GitHub, index: Index
) -> None:
    relock(root, client, (), quiet)
    git = Git(root)
    git("fetch", "--quiet", "origin", BRANCH)
    mine = git("commit-tree", "FETCH_HEAD^{tree}", "-p", "FETCH_HEAD", "-m", "Fixed")
    git("push", "--quiet", "origin", f"{mine}:refs/heads/{BRANCH}")
    with pytest.raises(Conflict, match="has commits of somebody else"):
        relock(root, client, (), quiet)
    assert git("ls-remote", "origin", BRANCH).startswith(mine)


def test_a_pull_request_whose_answer_got_lost_is_found_and_not_opened_twice(client: Client, github: GitHub) -> None:
    github.next(lost, of="POST")
    address = open_pull_request(client, branch=BRANCH, base="main", title="Lock anew", body="")
    assert address == github.pulls[1]["html_url"]
    assert len(github.pulls) == 1


def test_a_token_without_the_right_is_said_in_a_line(root: Path, client: Client, github: GitHub) -> None:
    github.tokens["s3cret"] = Token(rights=frozenset({"pull-requests:read"}))
    with pytest.raises(
        Outside, match=r"no pull request was opened for beampermit/relock: .* 403 Resource not accessible"
    ):
        relock(root, client, (), quiet)
