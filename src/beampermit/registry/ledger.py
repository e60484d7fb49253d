"""The ledger: append-only history on the git ref `beampermit-ledger`, moved only by fast-forward push.

That push is the compare-and-swap: of two who saw the same champion, one wins and the other is told. Nothing here
touches the work tree, the index or HEAD of whoever runs it, so it works in a shallow clone and beside unsaved work.
"""

from __future__ import annotations

import re
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import FILE_NAME, Contract, parse_contract
from beampermit.errors import BadInput, BeampermitError, Conflict, Outside
from beampermit.git import Git, GitError
from beampermit.processes import Finished
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger_state import (
    FIX,
    LEDGER_FILE,
    LedgerState,
    ModelState,
    format_line,
    parse_last_line,
    parse_lines,
)

BRANCH = "refs/heads/beampermit-ledger"
PATIENCE = 60.0
"""Seconds that a remote may take to answer."""
LOCKED = re.compile(r"cannot lock ref|failed to update ref|\.lock': File exists")
"""What git says while somebody else moves the same ref, here or on the remote."""


class Ledger:
    """The ledger of one repository, as its `remote` keeps it."""

    def __init__(self, git: Git, remote: str = "origin"):
        self.git = git
        self.remote = remote
        self._tracking = f"refs/remotes/{remote}/beampermit-ledger"
        self._kept: tuple[str | None, str] = (None, "")
        """The commit that was fetched last, and its text."""
        self._read: dict[str | None, tuple[str, LedgerState]] = {}
        """Model, or None for all of them -> the text that was read last, and what it says."""

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

    def chronicle(self, model: str | None = None) -> LedgerState:
        """What was last fetched, of all models or of one: look, do not change.

        Raises `BadInput` that names a line which does not hold; of another model's lines only their number counts.
        """
        head = self._head()
        if head is None:
            return LedgerState(model)
        text = self._text(head)
        # What a bad line leaves half read is not used again.
        before, chronicle = self._read.pop(model, ("", LedgerState(model)))
        # Only what is new is read; where an old line was changed, all of it is.
        grows = text.startswith(before)
        chronicle = parse_lines(text[len(before) :], chronicle) if grows else parse_lines(text, LedgerState(model))
        self._read[model] = (text, chronicle)
        return chronicle

    def events(self) -> tuple[Event, ...]:
        """All events as last fetched, oldest first. Raises `BadInput` that names a line which does not hold."""
        return tuple(self.chronicle().events)

    def state(self, model: str) -> ModelState:
        """What the ledger says of a model, as last fetched."""
        return self.chronicle(model).state(model)

    def champion(self, model: str) -> Event | None:
        """The event that put the present champion into service, as last fetched; None where there is none."""
        return self.state(model).champion

    def permit(self, event: Event) -> bytes | None:
        """The signed permit that is kept for an event, or None."""
        head = self._head()
        kept = self.git.read(head, _permit_file(event)) if head else None
        return kept.encode() if kept is not None else None

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
        # Looked at as a reader would: an event that does not follow is never pushed.
        self._check(event, head)
        text = (self._text(head) if head else "") + format_line(event)
        try:
            commit = self._commit(head, text, event, permit)
        except GitError as error:
            raise Outside(f"the ledger's next commit cannot be written here, nothing moved: {error}") from None
        pushed = self._ask("push", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no",
                           self.remote, f"{commit}:{BRANCH}")  # fmt: skip
        if pushed.code:
            self._settle(pushed, head, commit)
        else:
            self._ask("update-ref", self._tracking, commit)

    def _check(self, event: Event, head: str | None) -> None:
        chronicle = self.chronicle(event.model)
        if head and event.sequence <= chronicle.length:
            raise self._second(head)
        seen = chronicle.state(event.model).seen
        if event.expected != seen:
            raise Conflict(f"the champion is version {seen}, not {event.expected} as expected; nothing moved")
        fault = chronicle.fault(event)
        if fault:
            raise BadInput(
                f"{event.summary} cannot be written: it {fault}", file=LEDGER_FILE, hint="beampermit history"
            )

    def _settle(self, pushed: Finished, head: str | None, commit: str) -> None:
        """A failed push was a conflict if the remote moved, whatever words it used; else the remote did not want it."""
        self.fetch()
        if self.git.try_("merge-base", "--is-ancestor", commit, self._tracking).code == 0:
            return  # Only the reply was lost.
        now = self._head()
        if now is None or now == head:
            raise Outside(
                f"{self.remote} refused the push to {BRANCH}, nothing moved: {_reason(pushed)}",
                hint="let this account push to the branch beampermit-ledger, then run the same command again",
            )
        raise self._second(now)

    def _commit(self, head: str | None, text: str, event: Event, permit: bytes | None) -> str:
        """A commit on top of `head` with the new text, made in an index of its own."""
        with tempfile.TemporaryDirectory() as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder, "index")), **self._identity()}
            if head:
                self.git("read-tree", head, env=env)
            self._add(LEDGER_FILE, text, env)
            if permit is not None:
                self._add(_permit_file(event), permit.decode(), env)
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
        known, text = self._kept
        if known != head:
            found = self.git.read(head, LEDGER_FILE)
            if found is None:
                raise BadInput(f"the branch beampermit-ledger holds no {LEDGER_FILE}", file=LEDGER_FILE, hint=FIX)
            text = found
            self._kept = (head, text)
        return text

    def _second(self, head: str) -> Conflict:
        last = parse_last_line(self._text(head))
        return Conflict(
            f"somebody else was first: {last.summary} by {last.by} at {last.at}; nothing moved here",
            hint="beampermit history",
        )

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
        """Ask git for what may be asked twice. A ref that is held is waited for: then it is clear who came first."""
        from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_exponential

        again = Retrying(
            retry=retry_if_result(lambda found: found.code != 0 and LOCKED.search(found.err) is not None),
            wait=wait_exponential(multiplier=0.1, max=2.0),
            stop=stop_after_attempt(6),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        try:
            return again(self.git.try_, *arguments, timeout=PATIENCE)
        except Outside as error:
            raise Outside(f"{self.remote} does not answer: {error}", hint="git ls-remote " + self.remote) from None

    def _outside(self, found: Finished) -> BeampermitError:
        return Outside(f"{self.remote} does not answer: {_reason(found)}", hint=f"git ls-remote {self.remote}")


def _permit_file(event: Event) -> str:
    return f"permits/{event.permit.removeprefix('sha256:')}.json"


def _reason(found: Finished) -> str:
    """The line of git's answer that says why: the remote's own words first."""
    lines = [line.strip() for line in found.err.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("remote:", "fatal:", "!"))]
    return (told or lines or [found.tail])[0]


@dataclass(frozen=True)
class Champion:
    """The event that put the champion into service, and the contract of its commit.

    The contract of today is another one: metrics come and go, and this model never promised them.
    """

    event: Event
    contract: Contract

    @property
    def words(self) -> str:
        """Such as `version 3 of bpm-faults, in service since 2026-11-23T08:00:00Z`."""
        return f"version {self.event.version} of {self.event.model}, in service since {self.event.at}"


def load_champion(project: Project) -> Champion | None:
    """What the ledger on origin says is in service; None where nothing is.

    Raises `BadInput` for a commit that this clone does not have, `Outside` where origin does not answer.
    """
    ledger = Ledger(project.git)
    ledger.fetch()
    event = ledger.champion(project.contract.model.name)
    if event is None:
        return None
    commit = event.commit[:12]
    if project.git.resolve(event.commit) is None:
        raise BadInput(
            f"version {event.version} was made at commit {commit}, which is not in this clone",
            hint="run `git fetch --unshallow origin` in a shallow clone, else `git fetch origin`",
        )
    text = project.git.read(event.commit, FILE_NAME)
    if text is None:
        raise BadInput(f"commit {commit} of version {event.version} has no contract", file=FILE_NAME)
    return Champion(event, parse_contract(text, f"{commit}:{FILE_NAME}"))
