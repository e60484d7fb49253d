"""Issues on GitHub that are found again by a hidden line, so that none is opened twice.

Anybody may copy that line into an issue or a comment of a public repository, so only those who may write there, and
GitHub's own bots and apps, are believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from beampermit.digest import digest_json
from beampermit.github.client import Answer, Author, Client, Refused, parse_answer
from beampermit.registry.event import written

LIMIT = 60_000
"""Characters; GitHub's own limit is 65,536."""
TRUSTED = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


class Account(Author):
    type: str = ""


class Written(Answer):
    """What somebody wrote; `user` is None where the account was deleted."""

    body: str | None = None
    user: Account | None = None
    author_association: str = ""

    @property
    def trusted(self) -> bool:
        bot = self.user is not None and self.user.type == "Bot"  # an app that an owner installed
        return bot or self.author_association in TRUSTED

    def has(self, mark: str) -> bool:
        """Whether a line is the mark; no value that is shown can be a line of its own."""
        return any(line.strip() == mark for line in (self.body or "").splitlines())


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
    return f"<!-- beampermit {digest_json([*map(str, of)]).removeprefix('sha256:')[:32]} -->"


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

    def say(self, number: int, text: str, mark: str) -> None:
        """Write a comment where none has the mark: a killed run or the monitor of another machine may have."""
        comments = (parse_answer(Written, row) for row in self.client.pages(f"/issues/{number}/comments"))
        if not any(comment.trusted and comment.has(mark) for comment in comments):
            self.client.post(f"/issues/{number}/comments", {"body": with_mark(text, mark)})

    def change(self, number: int, **values: str) -> None:
        """Its `body` or its `state`."""
        self.client.patch(f"/issues/{number}", values)


def with_mark(text: str, mark: str) -> str:
    return f"{text.rstrip()[:LIMIT]}\n\n{mark}\n"
