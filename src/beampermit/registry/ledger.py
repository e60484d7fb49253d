"""The ledger: an append-only history on the git branch `beampermit-ledger`, which only takes fast-forward pushes.

The push is the compare-and-swap: of two runs that saw the same champion, one wins and the other ends with a conflict.
Work tree, index and HEAD are not touched, so it works in a shallow clone and beside uncommitted work.
"""

from __future__ import annotations

import re
import uuid

from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, BeampermitError, Conflict, Failed, Outside
from beampermit.git import Git, GitError, reason_of, scratch_index
from beampermit.github.rulesets import LEDGER_BRANCH
from beampermit.permit.public_keys import PUBLIC_IN_PROJECT, PublicKeys, parse_public_keys
from beampermit.permit.statement import Statement
from beampermit.processes import Finished
from beampermit.registry.ancestry import is_ancestor
from beampermit.registry.event import Event
from beampermit.registry.ledger_state import (
    FIX,
    LEDGER_FILE,
    LedgerState,
    ModelState,
    fault_of_line,
    format_line,
    parse_last_line,
    parse_lines,
)
from beampermit.registry.trust import Trust, no_keys, permit_file

BRANCH = f"refs/heads/{LEDGER_BRANCH}"
DEFAULT, MAIN = "HEAD", "refs/heads/main"
"""The protected branch: the remote's default branch, or `main` where it names none."""
PATIENCE = 60.0
"""Seconds to wait for the remote."""
CACHED = 8
"""Files beside the ledger that are held at most: a permit lists all files of a model."""
LOCKED = re.compile(r"cannot lock ref|failed to update ref|\.lock': File exists")
"""What git prints while another process updates the same ref, here or on the remote."""


class Ledger:
    """The ledger of one repository, on its `remote`: of every project in it.

    What was read stays until the next `fetch`, whatever another process fetches into the same clone meanwhile. One with
    a bad line of the model `readable` is never taken over, so that none has to go on from a text that nobody can read.
    """

    def __init__(self, git: Git, remote: str = "origin", readable: str | None = None):
        self.git = git.top
        self.remote, self.readable = remote, readable
        self.patience = PATIENCE
        self._tracking = f"refs/remotes/{remote}/beampermit-ledger"
        self._has_remote = False
        self._seen: str | None = None
        """Commit that was read last; None where there was none yet."""
        self._protected: tuple[str, str] | None = None
        """Name and commit of the protected branch on the remote, as last fetched."""
        self._trust: tuple[str | None, str, Trust] | None = None
        """Commits of the ledger and of the protected branch, and what is believed there."""
        self._cached_text: tuple[str | None, str] = (None, "")
        """Commit, and the ledger's text there."""
        self._cached_keys: tuple[str, PublicKeys] | None = None
        """Commit of the protected branch, and the keys there: a service asks for them at each look."""
        self._cached_files: dict[tuple[str, str], bytes] = {}
        """Commit of the ledger and path -> what stood there, of a few files that were read last."""
        self._cached_states: dict[str | None, tuple[str, LedgerState]] = {}
        """Model, or None for all models -> the text that was read last, and the state after it."""

    def fetch(self) -> None:
        """Fetch the remote's ledger. Without a remote, or a ledger on it, the ledger is empty.

        Raises `Outside` where the remote does not answer, `Conflict` where it lost or rewrote lines read here before,
        `BadInput` where it has a bad line of `readable`. What was fetched before then stays.
        """
        if not self.has_remote():
            return
        remote = self.remote_refs()
        self._protected = next(((ref, remote[ref]) for ref in (DEFAULT, MAIN) if ref in remote), None)
        head = remote.get(BRANCH)
        if head is not None and head == self._seen:
            return
        before = self._look()
        if head == before:
            return
        if head is None:
            raise Conflict(
                f"the branch beampermit-ledger was deleted on {self.remote}; this clone still has it",
                hint=f"git push {self.remote} {self._tracking}:{BRANCH}",
            )
        self._get(BRANCH, head)
        if before and not self._goes_on(before, head):
            raise self._rewritten()
        if self.readable is not None:
            parse_lines(self._text(head), LedgerState(self.readable))
        moved = self._git("update-ref", self._tracking, head, before or "")
        # Another process may have fetched this or a later one meanwhile.
        if moved.code and self.git.try_("merge-base", "--is-ancestor", head, self._tracking).code:
            raise Outside(f"the ledger of {self.remote} cannot be written into this clone: {reason_of(moved)}")
        self._seen = head

    def _get(self, name: str, commit: str, what: str = "the ledger") -> None:
        """Fetch a commit that a ref of the remote has."""
        if self.git.resolve(commit):
            return
        # Without the clone's own refspecs, and into no ref: branches are not ours, the ledger is judged first.
        result = self._git("fetch", "--refmap=", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
                          self.remote, name)  # fmt: skip
        if result.code:
            raise self._unreachable(result)
        if self.git.resolve(commit) is None:
            raise Outside(f"{what} of {self.remote} changed meanwhile", hint=f"git fetch {self.remote}")

    def _goes_on(self, before: str, head: str) -> bool:
        """Whether a commit has all lines of an earlier one: no rule against force-pushes stops a commit on top."""
        if self.git.try_("merge-base", "--is-ancestor", before, head).code:
            return False
        read, text = self._cached_text
        earlier = text if read == before else self.git.read(before, LEDGER_FILE) or ""
        return self._text(head).startswith(earlier)

    def read(self, model: str | None = None) -> LedgerState:
        """The ledger as last fetched, of all models or of one; not to be modified.

        Raises `BadInput` with the first bad line; lines of other models are only counted.
        """
        head = self._head()
        if head is None:
            return LedgerState(model)
        text = self._text(head)
        # Taken out, so that a state that a bad line left half read is not used again.
        before, state = self._cached_states.pop(model, ("", LedgerState(model)))
        extends = text.startswith(before)
        state = parse_lines(text[len(before) :], state) if extends else parse_lines(text, LedgerState(model))
        self._cached_states[model] = (text, state)
        return state

    def events(self) -> tuple[Event, ...]:
        """All events as last fetched, oldest first. Raises `BadInput` with the first bad line."""
        return tuple(self.read().events)

    def state(self, model: str) -> ModelState:
        """The state of a model, as last fetched."""
        return self.read(model).state(model)

    def champion(self, model: str) -> Event | None:
        """The event that put the champion into service, as last fetched; None where there is no champion.

        Raises as `believe`.
        """
        champion = self.state(model).champion
        if champion:
            self.believe(champion)
        return champion

    def believe(self, event: Event) -> Statement:
        """The verified permit of the version of an event.

        Raises `Failed` where its envelope is not signed with a key that the protected branch lists now, or is not of
        this model, digest and commit; `BadInput` where the protected branch has no keys; `Outside`.
        """
        head, (name, tip) = self._head(), self._find_protected()
        if self._trust is None or self._trust[:2] != (head, tip):
            self._trust = (head, tip, Trust(self._keys(name, tip), self.permit))
        return self._trust[2].believe(event, self.state(event.model).promoted.values())

    def believes(self, event: Event) -> bool:
        """Whether `believe` does not raise `Failed`."""
        try:
            self.believe(event)
        except Failed:
            return False
        return True

    def doubts(self, event: Event) -> str:
        """Why the version of an event is not believed, or cannot be judged; empty where it is believed."""
        try:
            self.believe(event)
        except BeampermitError as error:
            return str(error)
        return ""

    def permit(self, event: Event) -> bytes | None:
        """The permit of an event as it stands beside the ledger, not verified; None where there is none."""
        return self.beside(permit_file(event))

    def beside(self, file: str) -> bytes | None:
        """A file beside the ledger, as last fetched, not verified; None where there is none."""
        head = self._head()
        if head is None:
            return None
        if (head, file) not in self._cached_files:
            text = self.git.read(head, file)
            if text is None:
                return None  # it may be git that failed: it is asked again
            if len(self._cached_files) == CACHED:
                self._cached_files.clear()
            self._cached_files[head, file] = text.encode()
        return self._cached_files[head, file]

    def keys(self) -> PublicKeys:
        """The public keys on the protected branch, as last fetched. Raises `BadInput`, `Outside`."""
        return self._keys(*self._find_protected())

    @property
    def protected(self) -> str:
        """The commit of the protected branch, as last fetched. Raises `BadInput` where the remote has none."""
        return self._find_protected()[1]

    def keys_at(self, commit: str) -> PublicKeys:
        """The public keys at a commit that the protected branch contains. Raises `BadInput`, `Failed`."""
        _, tip = self._find_protected()
        if not is_ancestor(self.git, self.remote, commit, tip):
            raise Failed(f"the protected branch of {self.remote} does not contain commit {commit[:12]}")
        return self._read_keys(commit)

    def mark(self, line: int) -> str:
        """What stands in the registry for the ledger up to `line`: its number, and a digest of all lines up to it."""
        head = self._head()
        lines = self._text(head).splitlines(keepends=True)[:line] if head else []
        return f"{line} {digest_bytes(''.join(lines).encode())}"

    def append(self, event: Event, *, permit: bytes | None = None, beside: tuple[str, bytes] | None = None) -> None:
        """Append `event` to the ledger as last fetched, with the signed `permit`, or another file, beside it.

        Raises `Conflict` where somebody else was first, `Outside` where the remote refuses or does not answer; nothing
        was changed then.
        """
        if not self.has_remote():
            raise BadInput(
                f"the ledger is kept on the remote {self.remote!r}, which this repository does not have",
                hint=f"git remote add {self.remote} URL",
            )
        head = self._head()
        self._check(event, head)
        text = (self._text(head) if head else "") + format_line(event)
        try:
            signed = (permit_file(event), permit) if permit is not None else beside
            commit = self._commit(head, text, event, signed)
        except GitError as error:
            raise Outside(
                f"the ledger's next commit cannot be written here, the ledger was not changed: {error}"
            ) from None
        pushed = self._git("push", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no",
                           self.remote, f"{commit}:{BRANCH}")  # fmt: skip
        if pushed.code:
            self._explain_refused_push(pushed, head, commit)
        else:
            self._git("update-ref", self._tracking, commit)
            self._seen = commit

    def _check(self, event: Event, head: str | None) -> None:
        for part in event.parts:
            ledger = self.read(part.model)
            if head and event.sequence <= ledger.length:
                raise self._conflict(head)
            champion = ledger.state(part.model).champion_version
            if part.expected != champion and (part is event or part.model != event.model):
                raise Conflict(
                    f"the champion is version {champion}, not {part.expected} as expected; the ledger was not changed",
                    hint="beampermit history",
                )
        faults = (fault_of_line(event), *(self.read(part.model).fault(event) for part in event.parts))
        fault = next(filter(None, faults), None)
        if fault:
            raise BadInput(
                f"{event.summary} cannot be appended: it {fault}", file=LEDGER_FILE, hint="beampermit history"
            )

    def _explain_refused_push(self, pushed: Finished, head: str | None, commit: str) -> None:
        """A failed push is a conflict where the remote's ledger changed, whatever git printed; else it was refused."""
        self.fetch()
        if self.git.try_("merge-base", "--is-ancestor", commit, self._tracking).code == 0:
            return  # Only the reply was lost.
        new_head = self._head()
        if new_head is None or new_head == head:
            raise Outside(
                f"{self.remote} refused the push to {BRANCH}, the ledger was not changed: {reason_of(pushed)}",
                hint="allow this account to push to the branch beampermit-ledger, then run the same command again",
            )
        raise self._conflict(new_head)

    def _commit(self, head: str | None, text: str, event: Event, beside: tuple[str, bytes] | None) -> str:
        """A commit on top of `head` with the new text, made in a temporary index."""
        with scratch_index() as index:
            env = {**index, **self._identity()}
            if head:
                self.git("read-tree", head, env=env)
            self._add(LEDGER_FILE, text, env)
            if beside:
                self._add(beside[0], beside[1].decode(), env)
            tree = self.git("write-tree", env=env)
            parents = ("-p", head) if head else ()
            # Two runs that write the same event in the same second must not make the same commit.
            attempt = f"Attempt: {uuid.uuid4()}"
            return self.git("commit-tree", tree, *parents, "-m", event.summary, "-m", attempt, env=env)

    def _add(self, path: str, text: str, env: dict[str, str]) -> None:
        blob = self.git("hash-object", "-w", "--stdin", stdin=text)
        self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)

    def _identity(self) -> dict[str, str]:
        """Empty where git has an identity; CI machines have none."""
        if self.git.try_("var", "GIT_COMMITTER_IDENT").code == 0:
            return {}
        identity = {"NAME": "beampermit", "EMAIL": "beampermit@localhost"}
        return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in identity.items()}

    def _text(self, head: str) -> str:
        cached, text = self._cached_text
        if cached != head:
            new = self.git.read(head, LEDGER_FILE)
            if new is None:
                raise BadInput(f"the branch beampermit-ledger has no {LEDGER_FILE}", file=LEDGER_FILE, hint=FIX)
            text = new
            self._cached_text = (head, text)
        return text

    def _conflict(self, head: str) -> Conflict:
        last = parse_last_line(self._text(head))
        return Conflict(
            f"somebody else was first: {last.summary} by {last.by} at {last.at}; the ledger was not changed",
            hint="beampermit history",
        )

    def _head(self) -> str | None:
        return self._seen or self._look()

    def _look(self) -> str | None:
        self._seen = self.git.ref(self._tracking)
        return self._seen

    def has_remote(self) -> bool:
        self._has_remote = self._has_remote or self.git.try_("config", "--get", f"remote.{self.remote}.url").code == 0
        return self._has_remote

    def remote_refs(self) -> dict[str, str]:
        """Ref -> commit on the remote, of the ledger and the protected branch."""
        result = self._git("ls-remote", self.remote, DEFAULT, MAIN, BRANCH)
        if result.code:
            raise self._unreachable(result)
        # A name that is asked for also lists `refs/heads/x/refs/heads/NAME`, so only whole names count.
        return {ref: commit for commit, _, ref in (line.partition("\t") for line in result.out.splitlines())}

    def _find_protected(self) -> tuple[str, str]:
        """Where nothing was fetched yet: as this clone last saw it."""
        if self._protected:
            return self._protected
        default = self.git.default_branch()
        for name, branch in ((DEFAULT, default), (MAIN, "main")):
            tip = self.git.ref(f"refs/remotes/{self.remote}/{branch}") if branch else None
            if tip:
                return name, tip
        raise no_keys(f"{self.remote} has no default branch and no branch main")

    def _keys(self, name: str, tip: str) -> PublicKeys:
        if self._cached_keys is None or self._cached_keys[0] != tip:
            self._get(name, tip, "the protected branch")
            self._cached_keys = (tip, self._read_keys(tip))
        return self._cached_keys[1]

    def _read_keys(self, commit: str) -> PublicKeys:
        text = self.git.read(commit, PUBLIC_IN_PROJECT)
        if text is None:
            raise no_keys(f"commit {commit[:12]} of the protected branch has no such file")
        return parse_public_keys(text.encode(), f"{commit[:12]}:{PUBLIC_IN_PROJECT}")

    def _git(self, *arguments: str) -> Finished:
        """Run git, again while another process holds the ref; only for commands that are safe to repeat."""
        from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_exponential

        retrying = Retrying(
            retry=retry_if_result(lambda result: result.code != 0 and LOCKED.search(result.err) is not None),
            wait=wait_exponential(multiplier=0.1, max=2.0),
            stop=stop_after_attempt(6),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        try:
            return retrying(self.git.try_, *arguments, timeout=self.patience)
        except Outside as error:
            raise Outside(f"{self.remote} does not answer: {error}", hint=f"git ls-remote {self.remote}") from None

    def _rewritten(self) -> Conflict:
        return Conflict(
            f"the ledger on {self.remote} was rewritten: it lacks events that this clone has read before",
            hint=f"git log {self._tracking}",
        )

    def _unreachable(self, result: Finished) -> BeampermitError:
        error = GitError(result)
        if error.exit_code == Outside.exit_code:
            return Outside(f"the ledger of {self.remote} cannot be written into this clone: {error}", hint=error.hint)
        return Outside(f"{self.remote} does not answer: {reason_of(result)}", hint=f"git ls-remote {self.remote}")
