"""Updates the locks and proposes the moved packages as a pull request, so that they are checked before use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.documents.markdown import code, text
from beampermit.environments.addresses import addresses
from beampermit.environments.choice import backend_of, lock_of
from beampermit.environments.difference import Change, compare_locks
from beampermit.environments.recording import record_indexes
from beampermit.git import Git
from beampermit.github.branches import base_branch, commit_files, push_branch
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
    commit = commit_files(git, files, title)
    if commit is None:
        return Proposed((), None)
    branch = "-".join((BRANCH, *sorted(names)))
    progress(f"pushing {branch}")
    push_branch(git, commit, branch)
    body = _body(changes)
    return Proposed(changes, open_pull_request(client, branch=branch, base=base_branch(git), title=title, body=body))


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


def _body(changes: Sequence[Change]) -> str:
    more = f"\nand {len(changes) - MOST} more.\n" if len(changes) > MOST else ""
    return f"{format_lock_changes(changes[:MOST])}{more}\nAll interlocks check this pull request like any other.\n"
