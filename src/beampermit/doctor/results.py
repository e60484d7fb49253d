"""What is known of one part of a set-up. What cannot be seen is not seen, and never missing."""

from __future__ import annotations

from enum import StrEnum

from beampermit.errors import BeampermitError, Outside
from beampermit.github.client import Refused
from beampermit.record import Record


class State(StrEnum):
    """`unknown` for what is not seen from here."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Result(Record):
    """`fix` is a line that can be typed, or a sentence; `{repository}` in it stands for OWNER/NAME."""

    title: str
    state: State
    reason: str
    fix: str = ""
    no_answer: bool = False
    """Whether it is unknown because something outside did not answer."""


class Found(Record):
    """A result without its title, as a check returns it."""

    state: State
    reason: str
    fix: str = ""
    no_answer: bool = False


def there(reason: str) -> Found:
    return Found(state=State.PASSED, reason=reason)


def missing(reason: str, fix: str) -> Found:
    return Found(state=State.FAILED, reason=reason, fix=fix)


def unseen(reason: str, fix: str = "") -> Found:
    return Found(state=State.UNKNOWN, reason=reason, fix=fix)


def needs(right: str) -> Found:
    """What a token would have to be allowed."""
    return unseen(f"not seen with this token: needs {right}")


def of_error(error: BeampermitError, right: str = "") -> Found:
    """What an error says of a set-up: a refusal that something is not seen, an outage that it is not known."""
    refused = isinstance(error, Refused) and error.denied
    if refused and right:
        return needs(right)
    if isinstance(error, Outside):
        return Found(state=State.UNKNOWN, reason=str(error), fix=error.hint, no_answer=not refused)
    return missing(str(error), error.hint)


class Examined(Record):
    """All results of one project, what blocks first before the others."""

    project: str
    results: tuple[Result, ...]

    def count(self, state: State) -> int:
        return sum(result.state is state for result in self.results)


class Report(Record):
    """Of one project, or of all of an organization; `notes` say what was not looked at."""

    projects: tuple[Examined, ...]
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 where something is missing, else 4 where something did not answer."""
        results = [result for project in self.projects for result in project.results]
        if any(result.state is State.FAILED for result in results):
            return 1
        return Outside.exit_code if any(result.no_answer for result in results) else 0
