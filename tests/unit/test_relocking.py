"""`beampermit env relock`: what moved is a branch and one pull request, and nothing else is touched."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from beampermit.environments.uv import Uv
from beampermit.errors import BadInput, Conflict, Outside
from beampermit.git import Git
from beampermit.github.pulls import Repository
from beampermit.relocking import BRANCH, relock
from package_index import PYTHON, Index, uv_settings

__all__ = ["uv_settings"]


class Pulls(BaseHTTPRequestHandler):
    """What GitHub does with `/repos/lab/faults/pulls`; `open` are those there are, `status` makes it refuse."""

    open: ClassVar[list[dict[str, Any]]] = []
    status: ClassVar[int] = 0

    def do_GET(self) -> None:
        self._answer(200, [one for one in self.open if f"head=lab%3A{one['head'].replace('/', '%2F')}" in self.path])

    def do_POST(self) -> None:
        asked = self._read()
        if self.status:
            return self._answer(self.status, {"message": "Resource not accessible by integration"})
        if any(one["head"] == asked["head"] for one in self.open):
            return self._answer(422, {"message": "Validation Failed"})
        number = len(self.open) + 1
        self.open.append({**asked, "number": number, "html_url": f"https://git.example/lab/faults/pull/{number}"})
        return self._answer(201, self.open[-1])

    def do_PATCH(self) -> None:
        found = self.open[int(self.path.rpartition("/")[2]) - 1]
        found.update(self._read())
        self._answer(200, found)

    def _read(self) -> dict[str, Any]:
        assert self.headers["Authorization"] == "Bearer s3cret"
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, code: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def github() -> Iterator[Repository]:
    Pulls.open, Pulls.status = [], 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pulls)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Repository("lab/faults", "s3cret", f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


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
    origin, root = tmp_path / "origin.git", tmp_path / "faults"
    root.mkdir()
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "faults"\nversion = "1"\nrequires-python = "{PYTHON}"\n'
        f'dependencies = ["numbers", "colours"]\n[[tool.uv.index]]\nurl = "{index.url}"\ndefault = true\n'
    )
    Uv().lock(root, watch=lambda _: None)
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", origin], check=True)
    subprocess.run(["git", "init", "--quiet", "-b", "main", root], check=True)
    git = Git(root)
    for words in (
        ("config", "user.name", "Ada"),
        ("config", "user.email", "ada@lab.example"),
        ("add", "."),
        ("commit", "--quiet", "-m", "Locked"),
        ("remote", "add", "origin", str(origin)),
        ("push", "--quiet", "-u", "origin", "main"),
        ("remote", "set-head", "origin", "main"),
    ):
        git(*words)
    for name in ("numbers", "colours"):
        index.add(name, "1.1")
    return root


def quiet(_: str) -> None:
    pass


def test_what_moved_is_proposed_and_the_work_tree_s_branch_stays(root: Path, github: Repository) -> None:
    head = Git(root).head()
    done = relock(root, github, (), quiet)
    assert done.address == "https://git.example/lab/faults/pull/1"
    assert [(change.name, change.after) for change in done.changes] == [("colours", "1.1"), ("numbers", "1.1")]
    asked = Pulls.open[0]
    assert (asked["head"], asked["base"], asked["title"]) == (BRANCH, "main", "Lock the environment anew")
    assert "`numbers`" in asked["body"]
    git = Git(root)
    assert (git.head(), git("branch", "--show-current")) == (head, "main")
    git("fetch", "--quiet", "origin", BRANCH)
    assert git("diff", "--name-only", "HEAD", "FETCH_HEAD") == "uv.lock"


def test_one_package_moves_alone_on_a_branch_of_its_own(root: Path, github: Repository) -> None:
    done = relock(root, github, ["numbers"], quiet)
    assert [change.name for change in done.changes] == ["numbers"]
    assert Pulls.open[0]["head"] == f"{BRANCH}-numbers"


def test_the_next_week_brings_the_open_pull_request_up_to_date(root: Path, github: Repository, index: Index) -> None:
    relock(root, github, (), quiet)
    Git(root)("checkout", "--quiet", "--", "uv.lock")
    index.add("numbers", "1.2")
    done = relock(root, github, (), quiet)
    assert len(Pulls.open) == 1
    assert done.address == Pulls.open[0]["html_url"]
    assert "`1.2`" in Pulls.open[0]["body"]


def test_where_nothing_moved_nothing_is_asked(root: Path, github: Repository) -> None:
    Uv().lock(root, update=["*"], watch=quiet)
    Git(root)("commit", "--quiet", "--all", "-m", "By hand")
    assert relock(root, github, (), quiet).address is None
    assert Pulls.open == []
    assert "relock" not in Git(root)("ls-remote", "origin")


def test_what_somebody_committed_to_the_branch_is_not_overwritten(root: Path, github: Repository, index: Index) -> None:
    relock(root, github, (), quiet)
    git = Git(root)
    git("fetch", "--quiet", "origin", BRANCH)
    mine = git("commit-tree", "FETCH_HEAD^{tree}", "-p", "FETCH_HEAD", "-m", "Mended")
    git("push", "--quiet", "origin", f"{mine}:refs/heads/{BRANCH}")
    with pytest.raises(Conflict, match="has commits of somebody else"):
        relock(root, github, (), quiet)
    assert git("ls-remote", "origin", BRANCH).startswith(mine)


def test_a_token_without_the_right_is_said_in_a_line(root: Path, github: Repository) -> None:
    Pulls.status = 403
    with pytest.raises(Outside, match="no pull request for beampermit/relock: 403 Resource not accessible"):
        relock(root, github, (), quiet)


def test_github_that_does_not_answer_is_the_outside_world() -> None:
    with pytest.raises(Outside, match="GitHub cannot be reached"):
        Repository("lab/faults", "s3cret", "http://127.0.0.1:9").propose(branch="b", base="main", title="", body="")


def test_outside_of_a_job_the_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "lab/faults")
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    with pytest.raises(BadInput, match="GITHUB_TOKEN is not set"):
        Repository.of_job()
    assert "s3cret" not in repr(Repository("lab/faults", "s3cret"))
