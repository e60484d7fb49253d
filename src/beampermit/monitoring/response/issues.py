"""Issues on GitHub that are found again by a hidden line, so that none is opened twice.

Anybody may copy that line into an issue or a comment of a public repository, so only those who may write there, and
GitHub's own bots and apps, are believed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from beampermit.digest import digest_json
from beampermit.github.client import Answer, Author, Client, Refused, parse_answer
from beampermit.registry.event import written

LIMIT = 60_000
"""Characters; GitHub's own limit is 65,536."""
MARK = "<!-- beampermit "
"""Begins the hidden line."""
_TIME = re.compile(rf"(?m)^\s*{MARK}of (-?[0-9]+(?:[.][0-9]+)?) -->\s*$")
TRUSTED = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


class Account(Author):
    type: str = ""


class Written(Answer):
    """What somebody wrote; `user` is None where the account was deleted."""

    body: str | None = None
    user: Account | None = None
    author_association: str = ""
    created_at: str = ""

    @property
    def ours(self) -> bool:
        """Whether a monitor wrote it, of this machine or of another one."""
        return self.trusted and any(line.strip().startswith(MARK) for line in (self.body or "").splitlines())

    @property
    def written_at(self) -> float:
        """s since 1970, by GitHub's clock; NaN where it does not say."""
        try:
            written_at = datetime.fromisoformat(self.created_at)
        except ValueError:
            return math.nan
        return written_at.replace(tzinfo=written_at.tzinfo or UTC).timestamp()

    @property
    def about(self) -> float:
        """The time of `mark_of_time` in it; NaN where it has none."""
        found = _TIME.search(self.body or "")
        return float(found[1]) if found else math.nan

    @property
    def trusted(self) -> bool:
        bot = self.user is not None and self.user.type == "Bot"  # an app that an owner installed
        return bot or self.author_association in TRUSTED

    def has(self, *marks: str) -> bool:
        """Whether a line is one of the marks; no value that is shown can be a line of its own."""
        return any(line.strip() in marks for line in (self.body or "").splitlines())


class Found(Written):
    """An issue, or with `pull_request` one of those that GitHub lists as issues too."""

    number: int
    state: str
    locked: bool = False
    title: str = ""
    html_url: str
    pull_request: dict[str, Any] | None = None


def mark_of(*of: object) -> str:
    """The hidden line of an issue or comment about this."""
    return f"{MARK}{digest_json([*map(str, of)]).removeprefix('sha256:')[:32]} -->"


def mark_of_time(seconds: float) -> str:
    """The hidden line of a comment that says of when its news are, s since 1970 by the data."""
    return f"{MARK}of {seconds!r} -->"


@dataclass(frozen=True)
class Issues:
    """Those of one repository. Methods raise `Outside`, and `Refused` with GitHub's status."""

    client: Client

    def find(self, mark: str, *, state: str = "open", since: float | None = None) -> Found | None:
        """The oldest with this mark; `since` leaves out those that nobody changed since then."""
        return next((issue for issue in self.marked(mark, state=state, since=since) if issue.trusted), None)

    def marked(self, mark: str, *, state: str = "open", since: float | None = None) -> list[Found]:
        """Those with this mark, oldest first, also of those who may not write there: who have left, or strangers."""
        query = {"state": state, "sort": "updated", "direction": "desc"}
        if since is not None:
            query["since"] = written(datetime.fromtimestamp(since, UTC))
        listed = (parse_answer(Found, row) for row in self.client.pages("/issues", **query))
        found = [issue for issue in listed if issue.pull_request is None and issue.has(mark)]
        return sorted(found, key=lambda issue: issue.number)

    def open(self, title: str, body: str, mark: str, *, state: str = "open") -> Found:
        """The issue with this mark, opened where there is none; `state` as for `find`."""
        existing = self.find(mark, state=state)
        if existing:
            return existing
        return parse_answer(Found, self.client.post("/issues", {"title": title[:250], "body": with_mark(body, mark)}))

    def get(self, number: int) -> Found | None:
        """None where it was deleted or moved to another repository."""
        try:
            found = parse_answer(Found, self.client.get(f"/issues/{number}"))
        except Refused as refused:
            if refused.status in (301, 404, 410):
                return None
            raise
        return found if found.number == number else None

    def say(self, number: int, text: str, marks: Sequence[str], said: Callable[[Sequence[Written]], bool]) -> None:
        """Write a comment unless it is `said` by those of monitors, oldest first: a killed run or the monitor of
        another machine may have written it. `marks` are its hidden lines.
        """
        if not said([one for one in self._comments(number) if one.ours]):
            self.client.post(f"/issues/{number}/comments", {"body": with_mark(text, "\n".join(marks))})

    def last_word(self, number: int) -> Written | None:
        """The newest comment of a monitor; GitHub lists them in their order."""
        return next(reversed([one for one in self._comments(number) if one.ours]), None)

    def _comments(self, number: int) -> Iterator[Written]:
        return (parse_answer(Written, row) for row in self.client.pages(f"/issues/{number}/comments"))

    def change(self, number: int, **values: str) -> None:
        """Its `body` or its `state`."""
        self.client.patch(f"/issues/{number}", values)


def with_mark(text: str, mark: str) -> str:
    return f"{text.rstrip()[:LIMIT]}\n\n{mark}\n"
