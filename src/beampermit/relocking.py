"""Locks anew and proposes what moved as a pull request, so that it is judged before anyone runs it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.documents.locks import as_markdown
from beampermit.environments.addresses import addresses
from beampermit.environments.choice import backend_of, lock_of
from beampermit.environments.difference import Change, compare_locks
from beampermit.environments.recording import record_indexes
from beampermit.errors import Conflict, Outside
from beampermit.git import Git
from beampermit.github.client import Client
from beampermit.github.pull_requests import open_pull_request
from beampermit.progress import Progress

BRANCH = "beampermit/relock"
EVERYTHING = "*"
MOST = 300
"""So many changes are listed: a pull request's text has a limit of its own."""


@dataclass(frozen=True)
class Proposed:
    """What moved, and the pull request that says so; None where nothing moved."""

    changes: tuple[Change, ...]
    address: str | None


def relock(root: Path, client: Client, names: Sequence[str], progress: Progress) -> Proposed:
    """Let the packages `names` move, or all if there are none; push the new locks and open a pull request for them.

    HEAD, index and branch of the work tree stay. Raises what locking raises; `Conflict` where somebody else has
    committed to the branch; `Outside` where it cannot be pushed.
    """
    git, backend = Git(root), backend_of(root)
    found = backend.lock(root, update=names or (EVERYTHING,), progress=progress)
    if (root / FILE_NAME).is_file():
        record_indexes(root, tuple(address for lock in found.all for address in addresses(lock)))
    changes = tuple(change for lock in found.all for change in compare_locks(lock_of(root, "HEAD", file=lock.file), lock))
    files = [name for name in (*(lock.file for lock in found.all), FILE_NAME) if (root / name).is_file()]
    title = f"Lock {', '.join(names)} anew" if names else "Lock the environment anew"
    commit = _commit(git, files, title)
    if commit is None:
        return Proposed((), None)
    branch = "-".join((BRANCH, *sorted(names)))
    progress(f"pushing {branch}")
    _push(git, commit, branch)
    body = _body(changes)
    return Proposed(changes, open_pull_request(client, branch=branch, base=_base(git), title=title, body=body))


def _commit(git: Git, files: Sequence[str], title: str) -> str | None:
    """A commit of `files` on HEAD, in an index of its own; None where they are those of HEAD."""
    with tempfile.TemporaryDirectory() as folder:
        own = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("read-tree", "HEAD", env=own)
        git("add", "--", *files, env=own)
        tree = git("write-tree", env=own)
    if tree == git("rev-parse", "HEAD^{tree}"):
        return None
    return git("commit-tree", tree, "-p", git.head(), "-m", title)


def _push(git: Git, commit: str, branch: str) -> None:
    """Put the branch on the commit; what an earlier run proposed there gives way, what people added does not."""
    listed = git.try_("ls-remote", "origin", f"refs/heads/{branch}")
    if listed.code:
        raise Outside(f"the branch cannot be looked up: {listed.tail}")
    there = listed.out.split("\t")[0]
    if there:
        git("fetch", "--quiet", "--no-tags", "origin", there)
        if len(git("rev-list", f"HEAD..{there}").split()) > 1:
            raise Conflict(
                f"{branch} has commits of somebody else", hint=f"merge or delete {branch}, then run it again"
            )
    lease = f"--force-with-lease=refs/heads/{branch}:{there}"
    pushed = git.try_("push", "--quiet", lease, "origin", f"{commit}:refs/heads/{branch}")
    if pushed.code:
        raise Outside(f"the branch cannot be pushed: {pushed.tail}")


def _base(git: Git) -> str:
    """The branch that is to be changed: the job's, or the one that `origin` has as its own."""
    named = os.environ.get("GITHUB_REF_NAME")
    return named or git("symbolic-ref", "--short", "refs/remotes/origin/HEAD").removeprefix("origin/")


def _body(changes: Sequence[Change]) -> str:
    more = f"\nand {len(changes) - MOST} more.\n" if len(changes) > MOST else ""
    return f"{as_markdown(changes[:MOST])}{more}\nEvery interlock judges this as it judges any change.\n"
