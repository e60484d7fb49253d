"""The one comment of `beampermit` on a pull request, updated in place while other runs may write it as well.

GitHub cannot create a comment only if there is none. So a run that creates one lists the comments again; of several
the first is kept, each run updates it if its report is newer, and deletes its own.
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
from beampermit.github.client import Answer, Author, Client, Refused, Unsure, parse_answer
from beampermit.processes import run

TITLE = "beampermit"
BOT = "github-actions[bot]"
"""The account of a job's own token, on github.com and on Enterprise Server."""
ATTEMPTS = 5
"""While others change the comment."""
CML_SECONDS = 120
_IMAGE = "https://cml.dev/watermark.png"
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "_*[<"})
_MARK = re.compile(r"<!-- beampermit run (\d{1,18}) attempt (\d{1,9}) head ([0-9a-f]{40,64}) -->\s+\S[^\n]*\s*\Z")


class Comment(Answer):
    """A comment on a pull request; `user` is None where the account was deleted."""

    id: int
    body: str = ""
    user: Author | None
    html_url: str


class Outcome(StrEnum):
    """`NOWHERE`: there is no pull request to comment on; `STALE`: the comment is of a newer run."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    STALE = "stale"
    NOWHERE = "nowhere"


@dataclass(frozen=True)
class Posted:
    """`reason` says why nothing was written; `address` is the comment's URL."""

    outcome: Outcome
    reason: str = ""
    address: str | None = None


@dataclass(frozen=True)
class Mark:
    """Workflow run, attempt and head commit that a comment was written for: a hidden line of the comment."""

    run: int
    attempt: int
    head: str

    def __str__(self) -> str:
        return f"<!-- beampermit run {self.run} attempt {self.attempt} head {self.head} -->"

    def newer_than(self, other: Mark) -> bool:
        """Only marks of the same head commit can be compared."""
        return self.head == other.head and (self.run, self.attempt) > (other.run, other.attempt)


class _Changed(Exception):
    """Somebody else changed the comments meanwhile; list them again."""


@dataclass(frozen=True)
class Sticky:
    """The comment with the watermark `title` by `author` on pull request `number`.

    `write` replaces the way a report is written, for CML.
    """

    client: Client
    number: int
    title: str = TITLE
    author: str = BOT
    write: Callable[[str, Mark], None] | None = None

    def post(self, report: str, mark: Mark) -> Posted:
        """Write `report`, unless the comment is of a newer run.

        One request where the comment has the report already, two to change it, three to create it. Raises `Outside`;
        `BadInput` for the token of another account.
        """
        for _ in range(ATTEMPTS):
            try:
                return self._post(report, mark)
            except _Changed:
                continue
        raise Outside(
            f"the comment on pull request {self.number} was changed by others in each of {ATTEMPTS} attempts",
            hint="run the same command again",
        )

    def _post(self, report: str, mark: Mark) -> Posted:
        comments = next((page for page in self._pages() if page), [])
        if comments and not self.write:
            return self._update_first(comments, report, mark)
        if comments and (posted := self._no_change_needed(comments, report, mark)):
            return posted
        written = self._write(report, mark)
        return self._settle(written, report, mark, Outcome.UPDATED if comments else Outcome.CREATED)

    def _write(self, report: str, mark: Mark) -> Comment | None:
        """Write a new comment; None where it is unknown whether that worked."""
        if self.write:
            self.write(report, mark)
            return None
        body = {"body": format_comment(report, mark, self.title)}
        try:
            comment = parse_answer(Comment, self.client.post(f"/issues/{self.number}/comments", body))
        except Unsure:
            return None  # the comments are listed next anyway
        if not self._is_ours(comment):
            self.client.delete(f"/issues/comments/{comment.id}")  # no later run would find it
            raise self._other_account(comment.user.login if comment.user else "a deleted account")
        return comment

    def _settle(self, written: Comment | None, report: str, mark: Mark, outcome: Outcome) -> Posted:
        """List all comments: the first stays, and what this run wrote besides is deleted."""
        comments = [comment for page in self._pages() for comment in page]
        if written and written.id not in {comment.id for comment in comments}:
            comments.append(written)
        of_this_run = [comment for comment in comments if parse_mark(comment.body) == mark]
        if not of_this_run:
            if self.write:
                raise self._other_account("another account")
            raise _Changed
        posted = self._update_first(comments, report, mark, deletable=of_this_run)
        if posted.outcome is Outcome.UNCHANGED and comments[0] in of_this_run:
            return Posted(outcome, address=posted.address)
        return posted

    def _other_account(self, login: str) -> BadInput:
        return BadInput(
            f"the token belongs to {login}, not to {self.author}", hint="name the token's account with --author"
        )

    def _update_first(
        self, comments: list[Comment], report: str, mark: Mark, deletable: list[Comment] | None = None
    ) -> Posted:
        """Write the report into the first comment and delete the others, only those in `deletable` where given."""
        first = comments[0]
        posted = self._no_change_needed(comments, report, mark)
        if posted is None:
            self._update(first, report, mark)
            posted = Posted(Outcome.UPDATED, address=first.html_url)
        self._delete(comments[1:] if deletable is None else [comment for comment in deletable if comment != first])
        return posted

    def _no_change_needed(self, comments: list[Comment], report: str, mark: Mark) -> Posted | None:
        """The outcome where the comment has the report already or is of a newer run; else None."""
        for comment in comments:
            other = parse_mark(comment.body)
            if other and other.newer_than(mark):
                reason = f"run {other.run}, attempt {other.attempt}, is newer and has commented already"
                return Posted(Outcome.STALE, reason, comment.html_url)
        first = comments[0]
        return Posted(Outcome.UNCHANGED, address=first.html_url) if has_content(first.body, report, mark) else None

    def _update(self, comment: Comment, report: str, mark: Mark) -> None:
        try:
            self.client.patch(f"/issues/comments/{comment.id}", {"body": format_comment(report, mark, self.title)})
        except Refused as refused:
            if refused.status == 404:
                raise _Changed from None  # deleted meanwhile
            raise

    def _delete(self, comments: list[Comment]) -> None:
        """Delete duplicates of ours; a comment that CML alone wrote stays."""
        for comment in comments:
            if parse_mark(comment.body):
                self.client.delete(f"/issues/comments/{comment.id}")

    def _pages(self) -> Iterator[list[Comment]]:
        """Our comments, page by page, the oldest first."""
        for page in self.client.by_page(f"/issues/{self.number}/comments"):
            comments = (parse_answer(Comment, row) for row in page)
            yield [comment for comment in comments if self._is_ours(comment)]

    def _is_ours(self, comment: Comment) -> bool:
        by_author = comment.user is not None and comment.user.login == self.author
        return by_author and has_watermark(comment.body, self.title)


def format_marked(report: str, mark: Mark) -> str:
    """A comment without its last line, the watermark, which CML adds itself."""
    return f"{report.rstrip()}\n\n{mark}\n"


def format_comment(report: str, mark: Mark, title: str = TITLE) -> str:
    return f"{format_marked(report, mark)}\n<!-- {watermark(mark.head, title)} -->\n"


def watermark(head: str, title: str = TITLE) -> str:
    """CML's watermark, exactly as CML writes it."""
    return f'![]({_IMAGE}#{head} "{_escaped_title(title)}")'


def has_watermark(body: str, title: str = TITLE) -> bool:
    """Whether this is the comment with that title, by CML or by us. CML leaves the commit out where it knows none."""
    title = re.escape(_escaped_title(title))
    return re.search(rf'!\[\]\({re.escape(_IMAGE)}(?:#[0-9a-fA-F]+)? "{title}"\)', body) is not None


def parse_comment(body: str) -> tuple[str, Mark] | None:
    """Report and mark of a comment; None where `beampermit` did not write it."""
    match = _MARK.search(body)
    if match is None:
        return None
    return _normalized(body[: match.start()]), Mark(int(match[1]), int(match[2]), match[3])


def has_content(body: str, report: str, mark: Mark) -> bool:
    """Whether a comment has this report and mark, whichever program wrote it."""
    return parse_comment(body) == (_normalized(report), mark)


def parse_mark(body: str) -> Mark | None:
    """None where `beampermit` did not write the comment."""
    parsed = parse_comment(body)
    return parsed[1] if parsed else None


def _normalized(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _escaped_title(title: str) -> str:
    return f"CML watermark {title}".strip().translate(_ESCAPED)


def cml_writer(client: Client, number: int, title: str) -> Callable[[str, Mark], None]:
    """A function that writes a comment on pull request `number` with CML. Raises `BadInput` where `cml` is missing."""
    program = shutil.which("cml")
    if program is None:
        raise BadInput("the program 'cml' is not installed", hint="leave out --via, or install CML")
    server = os.environ.get("GITHUB_SERVER_URL") or "https://github.com"

    def write(report: str, mark: Mark) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.md"
            write_text(file, format_marked(report, mark))
            result = run(
                [
                    *(program, "comment", "update", "--driver=github", "--publish=false", f"--target=pr/{number}"),
                    *(f"--watermark-title={title}", f"--repo={server}/{client.repository}", file),
                ],
                cwd=Path(folder),
                env={
                    "REPO_TOKEN": client.token,
                    # CML does not find a watermark without a commit again.
                    **{"GITHUB_SHA": mark.head, "GITHUB_EVENT_NAME": ""},
                    "ITERATIVE_DO_NOT_TRACK": "1",
                    # CML declares every folder safe for git, in the file that this names.
                    "GIT_CONFIG_GLOBAL": str(Path(folder) / "gitconfig"),
                },
                timeout=CML_SECONDS,
            )
        if result.code:
            raise Outside(f"cml failed to write the comment: {result.tail.replace(client.token, '***')[:200]}")

    return write
