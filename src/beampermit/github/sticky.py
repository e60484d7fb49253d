"""One comment on a pull request, brought up to date in place, whoever else writes at the same moment.

GitHub has no way to say "create unless there is one". So who creates looks again, and of several the first is kept;
each run brings that one up to date if it knows better, and removes its own.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from beampermit.errors import BadInput, Outside
from beampermit.files import write_text
from beampermit.github.client import Client, Comment, Refused, Unsure, parse_answer
from beampermit.processes import run

TITLE = "beampermit"
_IMAGE = "https://cml.dev/watermark.png"
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "_*[<"})
_MARK = re.compile(r"<!-- beampermit run (\d{1,18}) attempt (\d{1,9}) head ([0-9a-f]{40,64}) -->\s+\S[^\n]*\s*\Z")


@dataclass(frozen=True)
class Mark:
    """Run, its attempt, and the head commit that a comment tells about."""

    run: int
    attempt: int
    head: str

    def __str__(self) -> str:
        return f"<!-- beampermit run {self.run} attempt {self.attempt} head {self.head} -->"

    def newer_than(self, other: Mark) -> bool:
        """Whether this was written later for the same head; of another head, nothing is known."""
        return self.head == other.head and (self.run, self.attempt) > (other.run, other.attempt)


def format_marked(report: str, mark: Mark) -> str:
    """A comment without the last line, which CML adds itself."""
    return f"{report.rstrip()}\n\n{mark}\n"


def format_comment(report: str, mark: Mark, title: str = TITLE) -> str:
    """A whole comment."""
    return f"{format_marked(report, mark)}\n<!-- {watermark(mark.head, title)} -->\n"


def watermark(head: str, title: str = TITLE) -> str:
    """CML's watermark, as CML writes it."""
    return f'![]({_IMAGE}#{head} "{_title(title)}")'


def has_watermark(body: str, title: str = TITLE) -> bool:
    """Whether this is the comment with that title, by CML or by us; where CML knows no commit it names none."""
    return re.search(rf'!\[\]\({re.escape(_IMAGE)}(?:#[0-9a-fA-F]+)? "{re.escape(_title(title))}"\)', body) is not None


def parse_comment(body: str) -> tuple[str, Mark] | None:
    """The report in a comment, and what it was written for; None where we did not write it."""
    found = _MARK.search(body)
    if found is None:
        return None
    return _plain(body[: found.start()]), Mark(int(found[1]), int(found[2]), found[3])


def has_content(body: str, report: str, mark: Mark) -> bool:
    """Whether a comment says this already, by whichever program it was written."""
    return parse_comment(body) == (_plain(report), mark)


def parse_mark(body: str) -> Mark | None:
    """What a comment was written for; None where we did not write it."""
    found = parse_comment(body)
    return found[1] if found else None


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _title(title: str) -> str:
    return f"CML watermark {title}".strip().translate(_ESCAPED)


BOT = "github-actions[bot]"
"""Who speaks with a job's own token, on GitHub and on Enterprise Server."""
LOOKS = 5
"""So often is looked again after somebody else was quicker."""


class Outcome(StrEnum):
    """What became of a comment."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    STALE = "stale"
    NOWHERE = "nowhere"


@dataclass(frozen=True)
class Posted:
    """What became of it, in words where it was not written, and where it stands."""

    outcome: Outcome
    words: str = ""
    address: str | None = None


class _LookAgain(Exception):
    """What was seen is no longer so."""


@dataclass(frozen=True)
class Sticky:
    """The comment with the watermark `title` by `author` on pull request `number`.

    `write` puts a report there in another way than this: as CML does.
    """

    client: Client
    number: int
    title: str = TITLE
    author: str = BOT
    write: Callable[[str, Mark], None] | None = None

    def post(self, report: str, mark: Mark) -> Posted:
        """Say `report`, unless a newer run has said more. Raises `Outside`, `BadInput` for a token of somebody else.

        One request where the comment says it already, two where it has to be changed, three where there is none.
        """
        for _ in range(LOOKS):
            try:
                return self._post(report, mark)
            except _LookAgain:
                continue
        raise Outside(f"the comment on pull request {self.number} is changed by somebody else all the time")

    def _post(self, report: str, mark: Mark) -> Posted:
        found = self._first()
        if found and not self.write:
            return self._bring_up_to_date(found, report, mark)
        if found and (posted := self._standing(found, report, mark)):
            return posted
        written = self._write(report, mark)
        return self._settled(written, report, mark, Outcome.UPDATED if found else Outcome.CREATED)

    def _write(self, report: str, mark: Mark) -> Comment | None:
        """Write a new comment; None where it is not known whether that was done."""
        if self.write:
            self.write(report, mark)
            return None
        body = {"body": format_comment(report, mark, self.title)}
        try:
            made = parse_answer(Comment, self.client.post(f"/issues/{self.number}/comments", body))
        except Unsure:
            return None  # looking is what comes next anyhow
        if not self._is_ours(made):
            self.client.delete(f"/issues/comments/{made.id}")  # no run would find it again
            raise self._somebody_else(made.user.login if made.user else "nobody")
        return made

    def _settled(self, written: Comment | None, report: str, mark: Mark, outcome: Outcome) -> Posted:
        """Look at what is there now: the first stays, what was written beside it goes."""
        found = [comment for page in self._pages() for comment in page]
        if written and written.id not in {comment.id for comment in found}:
            found.append(written)
        mine = [comment for comment in found if parse_mark(comment.body) == mark]
        if not mine:
            if self.write:
                raise self._somebody_else("somebody else")
            raise _LookAgain
        posted = self._bring_up_to_date(found, report, mark, ours=mine)
        if posted.outcome is Outcome.UNCHANGED and found[0] in mine:
            return Posted(outcome, address=posted.address)
        return posted

    def _somebody_else(self, login: str) -> BadInput:
        return BadInput(f"the token speaks as {login}, not as {self.author}", hint="name its account with --author")

    def _bring_up_to_date(
        self, found: list[Comment], report: str, mark: Mark, ours: list[Comment] | None = None
    ) -> Posted:
        """Make the first of `found` say it, and remove the others: only those in `ours`, where it is given."""
        first = found[0]
        posted = self._standing(found, report, mark)
        if posted is None:
            self._update(first, report, mark)
            posted = Posted(Outcome.UPDATED, address=first.html_url)
        self._remove(found[1:] if ours is None else [comment for comment in ours if comment != first])
        return posted

    def _standing(self, found: list[Comment], report: str, mark: Mark) -> Posted | None:
        """What there is to say without writing: that it stands there, or that a newer run has said more."""
        for comment in found:
            known = parse_mark(comment.body)
            if known and known.newer_than(mark):
                words = f"run {known.run}, attempt {known.attempt}, has said more already"
                return Posted(Outcome.STALE, words, comment.html_url)
        first = found[0]
        return Posted(Outcome.UNCHANGED, address=first.html_url) if has_content(first.body, report, mark) else None

    def _update(self, comment: Comment, report: str, mark: Mark) -> None:
        try:
            self.client.patch(f"/issues/comments/{comment.id}", {"body": format_comment(report, mark, self.title)})
        except Refused as refused:
            if refused.status == 404:
                raise _LookAgain from None  # somebody has deleted it meanwhile
            raise

    def _remove(self, comments: list[Comment]) -> None:
        """Remove what we wrote twice; a comment that CML alone wrote stays."""
        for comment in comments:
            if parse_mark(comment.body):
                self.client.delete(f"/issues/comments/{comment.id}")

    def _first(self) -> list[Comment]:
        """Ours on the first page that has any, the oldest first."""
        return next((page for page in self._pages() if page), [])

    def _pages(self) -> Iterator[list[Comment]]:
        """Ours, page by page: GitHub lists the oldest first."""
        for page in self.client.by_page(f"/issues/{self.number}/comments"):
            comments = (parse_answer(Comment, one) for one in page)
            yield [one for one in comments if self._is_ours(one)]

    def _is_ours(self, comment: Comment) -> bool:
        written = comment.user is not None and comment.user.login == self.author
        return written and has_watermark(comment.body, self.title)


SECONDS = 120


def cml_writer(client: Client, number: int, title: str) -> Callable[[str, Mark], None]:
    """What writes a comment on pull request `number`. Raises `BadInput` where there is no `cml`."""
    program = shutil.which("cml")
    if program is None:
        raise BadInput("there is no program 'cml' on this machine", hint="leave --via away: beampermit needs none")
    server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"

    def write(report: str, mark: Mark) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.md"
            write_text(file, format_marked(report, mark))
            ended = run(
                [
                    *(program, "comment", "update", "--driver=github", "--publish=false", f"--target=pr/{number}"),
                    *(f"--watermark-title={title}", f"--repo={server}/{client.repository}", file),
                ],
                cwd=Path(folder),
                env={
                    "REPO_TOKEN": client.token,
                    # A watermark without a commit is one that CML itself does not find again.
                    **{"GITHUB_SHA": mark.head, "GITHUB_EVENT_NAME": ""},
                    "ITERATIVE_DO_NOT_TRACK": "1",
                    # It declares every folder of this machine safe for git, in whatever this names.
                    "GIT_CONFIG_GLOBAL": str(Path(folder) / "gitconfig"),
                },
                timeout=SECONDS,
            )
        if ended.code:
            raise Outside(f"cml writes no comment: {ended.tail.replace(client.token, '***')[:200]}")

    return write
