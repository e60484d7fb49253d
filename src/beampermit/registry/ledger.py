"""The ledger: append-only history on the git ref `beampermit-ledger`, moved only by fast-forward push.

That push is the compare-and-swap: of two who saw the same champion, one wins and the other is told. Nothing here
touches the work tree, the index or HEAD of whoever runs it, so it works in a shallow clone and beside unsaved work.
"""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

from beampermit.errors import BadInput, BeampermitError, Conflict, Outside
from beampermit.git import Git
from beampermit.processes import Finished
from beampermit.registry import event as history
from beampermit.registry.event import Event
from beampermit.registry.lines import FILE_NAME, MEND, read_lines, write_lines

BRANCH = "refs/heads/beampermit-ledger"
PATIENCE = 60.0
"""Seconds that a remote may take to answer."""


class Ledger:
    """The ledger of one repository, as its `remote` keeps it."""

    def __init__(self, git: Git, remote: str = "origin"):
        self.git = git
        self.remote = remote
        self._tracking = f"refs/remotes/{remote}/beampermit-ledger"
        self._read: tuple[str | None, tuple[Event, ...]] = (None, ())

    def fetch(self) -> None:
        """Bring what the remote has. No remote, or no ledger on it yet, is an empty ledger.

        Raises `Outside` when the remote does not answer, `Conflict` when it lost or rewrote what was read here before.
        """
        if not self._has_remote():
            return
        head = self._remote_head()
        known = self._head()
        if head == known:
            return
        if head is None:
            raise Conflict(
                f"the ledger is gone from {self.remote}; this clone still has it",
                hint=f"git push {self.remote} {self._tracking}:{BRANCH}",
            )
        # Neither `+` nor the clone's own refspecs: a ledger that does not continue the one read before is refused.
        found = self._ask("fetch", "--refmap=", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
                          self.remote, f"{BRANCH}:{self._tracking}")  # fmt: skip
        if found.code and "non-fast-forward" in found.err:
            raise Conflict(
                f"the ledger on {self.remote} was rewritten: it does not continue the one read here before",
                hint=f"git log {self._tracking}",
            )
        if found.code:
            raise self._outside(found)

    def events(self) -> tuple[Event, ...]:
        """All events as last fetched, oldest first. Raises `BadInput` that names a line which does not hold."""
        head = self._head()
        if head is None:
            return ()
        if self._read[0] != head:
            self._read = (head, read_lines(self._text(head)))
        return self._read[1]

    def champion(self, model: str | None = None) -> Event | None:
        """The event that put the present champion into service, as last fetched; None where there is none."""
        return history.champion(self.events(), model)

    def append(self, event: Event, *, permit: bytes | None = None) -> None:
        """Add `event` on top of the events last fetched; the signed `permit` is kept beside it.

        Raises `Conflict` when somebody else was first, `Outside` when the remote refuses or does not answer, and then
        nothing moved.
        """
        if not self._has_remote():
            raise BadInput(
                f"the ledger lives on the remote {self.remote!r}, and this repository has none",
                hint=f"git remote add {self.remote} URL",
            )
        head = self._head()
        text = self._text(head) if head else ""
        # Read what would be written: an event that does not follow is never pushed.
        grown = write_lines(text, event)
        self._check(event, grown)
        commit = self._commit(head, grown, event, permit)
        pushed = self._ask("push", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no",
                           self.remote, f"{commit}:{BRANCH}")  # fmt: skip
        if pushed.code:
            self._settle(pushed, head, commit)
        else:
            self.git("update-ref", self._tracking, commit)

    def _check(self, event: Event, grown: str) -> None:
        last = self.champion(event.model)
        seen = last.version if last else None
        if event.expected != seen:
            raise Conflict(f"the champion is version {seen}, not {event.expected} as expected; nothing moved")
        read_lines(grown)

    def _settle(self, pushed: Finished, head: str | None, commit: str) -> None:
        """A failed push was a conflict if the remote moved, whatever words it used; else the remote did not want it."""
        self.fetch()
        if self.git.try_("merge-base", "--is-ancestor", commit, self._tracking).code == 0:
            return  # Only the reply was lost.
        if self._head() == head:
            raise Outside(
                f"{self.remote} refused the push to {BRANCH}, nothing moved: {_reason(pushed)}",
                hint="let this account push to the branch beampermit-ledger, then run the same command again",
            )
        last = self.events()[-1]
        raise Conflict(
            f"somebody else was first: {last.summary} by {last.by} at {last.at}; nothing moved here",
            hint="beampermit history",
        )

    def _commit(self, head: str | None, text: str, event: Event, permit: bytes | None) -> str:
        """A commit on top of `head` with the new text, made in an index of its own."""
        with tempfile.TemporaryDirectory() as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder, "index")), **self._identity()}
            if head:
                self.git("read-tree", head, env=env)
            self._add(FILE_NAME, text, env)
            if permit is not None:
                self._add(f"permits/{event.permit.removeprefix('sha256:')}.json", permit.decode(), env)
            tree = self.git("write-tree", env=env)
            parents = ("-p", head) if head else ()
            # Two who write the same event in the same second must not make the same commit: one of them is second.
            attempt = f"Attempt: {uuid.uuid4()}"
            return self.git("commit-tree", tree, *parents, "-m", event.summary, "-m", attempt, env=env)

    def _add(self, path: str, text: str, env: dict[str, str]) -> None:
        blob = self.git("hash-object", "-w", "--stdin", stdin=text)
        self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)

    def _identity(self) -> dict[str, str]:
        """git's own identity where there is one; a CI machine has none."""
        if self.git.try_("var", "GIT_COMMITTER_IDENT").code == 0:
            return {}
        who = {"NAME": "beampermit", "EMAIL": "beampermit@localhost"}
        return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}

    def _text(self, head: str) -> str:
        text = self.git.read(head, FILE_NAME)
        if text is None:
            raise BadInput(f"the branch beampermit-ledger holds no {FILE_NAME}", file=FILE_NAME, hint=MEND)
        return text

    def _head(self) -> str | None:
        return self.git.resolve(self._tracking)

    def _has_remote(self) -> bool:
        return self.git.try_("config", "--get", f"remote.{self.remote}.url").code == 0

    def _remote_head(self) -> str | None:
        found = self._ask("ls-remote", self.remote, BRANCH)
        if found.code:
            raise self._outside(found)
        return found.out.split("\t")[0] if found.out.strip() else None

    def _ask(self, *arguments: str) -> Finished:
        try:
            return self.git.try_(*arguments, timeout=PATIENCE)
        except Outside as error:
            raise Outside(f"{self.remote} does not answer: {error}", hint="git ls-remote " + self.remote) from None

    def _outside(self, found: Finished) -> BeampermitError:
        return Outside(f"{self.remote} does not answer: {_reason(found)}", hint=f"git ls-remote {self.remote}")


def _reason(found: Finished) -> str:
    """The line of git's answer that says why: the remote's own words first."""
    lines = [line.strip() for line in found.err.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("remote:", "fatal:", "!"))]
    return (told or lines or [found.tail])[0]
