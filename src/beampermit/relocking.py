"""Updates the locks and proposes the moved packages as a pull request, so that they are checked before use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.documents.markdown import code, text
from beampermit.environments.addresses import addresses
from beampermit.environments.choice import backend_of, lock_of
from beampermit.environments.difference import Change, compare_locks
from beampermit.environments.recording import record_indexes
from beampermit.errors import BadInput, Conflict, Outside
from beampermit.git import Git
from beampermit.github.client import Client
from beampermit.github.pull_requests import open_pull_request
from beampermit.progress import Progress

BRANCH = "beampermit/relock"
EVERYTHING = "*"
MOST = 300
"""Changes that are listed: the text of a pull request is limited."""


@dataclass(frozen=True)
class Proposed:
    """The packages that moved and the pull request's address; None where nothing moved."""

    changes: tuple[Change, ...]
    address: str | None


def relock(root: Path, client: Client, names: Sequence[str], progress: Progress) -> Proposed:
    """Update the packages `names`, or all if there are none; push the new locks and open a pull request.

    HEAD, index and branch of the work tree do not change. Raises what locking raises; `Conflict` where somebody else
    committed to the branch; `Outside` where it cannot be pushed.
    """
    git, backend = Git(root), backend_of(root)
    locked = backend.lock(root, update=names or (EVERYTHING,), progress=progress)
    if (root / FILE_NAME).is_file():
        record_indexes(root, tuple(address for lock in locked.all for address in addresses(lock)))
    changes = tuple(
        change for lock in locked.all for change in compare_locks(lock_of(root, "HEAD", file=lock.file), lock)
    )
    files = [name for name in (*(lock.file for lock in locked.all), FILE_NAME) if (root / name).is_file()]
    title = f"Update {', '.join(names)} in the lock" if names else "Update the lock"
    commit = _commit(git, files, title)
    if commit is None:
        return Proposed((), None)
    branch = "-".join((BRANCH, *sorted(names)))
    progress(f"pushing {branch}")
    _push(git, commit, branch)
    body = _body(changes)
    return Proposed(changes, open_pull_request(client, branch=branch, base=_base(git), title=title, body=body))


def format_lock_changes(changes: Sequence[Change]) -> str:
    """For a pull request. Names and versions come from a lock that anyone may have written."""
    if not changes:
        return "No package changed.\n"
    rows = [
        f"| {text(change.kind)} | {code(change.name)} | {_version(change.before)} | {_version(change.after)} "
        f"| {text(', '.join(change.platforms))} |"
        for change in changes
    ]
    return "\n".join(("| | package | before | after | platforms |", "|---|---|---|---|---|", *rows, ""))


def _version(version: str) -> str:
    return code(version) if version else ""


def _commit(git: Git, files: Sequence[str], title: str) -> str | None:
    """Commit `files` on HEAD in an index of its own; None where they are unchanged."""
    with tempfile.TemporaryDirectory() as folder:
        own = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("read-tree", "HEAD", env=own)
        git("add", "--", *files, env=own)
        tree = git("write-tree", env=own)
    if tree == git("rev-parse", "HEAD^{tree}"):
        return None
    return git("commit-tree", tree, "-p", git.head(), "-m", title)


def _push(git: Git, commit: str, branch: str) -> None:
    """Move the branch to the commit: it replaces the commit of an earlier run, never commits of other people."""
    listed, remote = git.remote_tip("origin", branch)
    if listed.code:
        raise Outside(f"cannot look up the branch {branch}: {listed.tail}")
    if remote:
        git("fetch", "--quiet", "--no-tags", "origin", remote)
        if len(git("rev-list", f"HEAD..{remote}").split()) > 1:
            raise Conflict(
                f"{branch} has commits of somebody else", hint=f"merge or delete {branch}, then run it again"
            )
    lease = f"--force-with-lease=refs/heads/{branch}:{remote}"
    pushed = git.try_("push", "--quiet", lease, "origin", f"{commit}:refs/heads/{branch}")
    if pushed.code:
        raise Outside(f"cannot push the branch {branch}: {pushed.tail}")


def _base(git: Git) -> str:
    """The branch to merge into: the job's, else the default branch of `origin`."""
    branch = os.environ.get("GITHUB_REF_NAME") or git.default_branch()
    if not branch:
        raise BadInput("the default branch of origin is unknown here", hint="git remote set-head origin --auto")
    return branch


def _body(changes: Sequence[Change]) -> str:
    more = f"\nand {len(changes) - MOST} more.\n" if len(changes) > MOST else ""
    return f"{format_lock_changes(changes[:MOST])}{more}\nAll interlocks check this pull request like any other.\n"
