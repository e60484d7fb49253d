"""What the process of a laboratory's interlock answers: plain, bounded, and read strictly."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from beampermit.errors import BadInput, BeampermitError, Conflict, Failed, Outside, Problem
from beampermit.interlocks.interlock import Finding, MissingInput
from beampermit.record import Record, Text
from beampermit.verdicts.verdict import Location, Outcome

KINDS: tuple[type[BeampermitError], ...] = (MissingInput, Failed, BadInput, Conflict, Outside)
"""What a check may raise. Exit codes are those of these classes: a subclass of a package brings none of its own."""
LONGEST = 60
"""Characters of a title, as of ours."""


class Described(Record):
    """An interlock of a package; `why` says why it is none."""

    why: Text = ""
    title: Text = ""
    fix: Text = ""
    inputs: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    time_limit: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Seconds."""


class Found(Record):
    """What a check returned."""

    outcome: Outcome
    reason: Text
    fix: Text = ""
    evidence: dict[str, Any] = Field(default={})
    locations: tuple[Location, ...] = ()

    def finding(self) -> Finding:
        return Finding(self.outcome, self.reason, self.locations, self.evidence, fix=self.fix)


class Raised(Record):
    """What a check raised; `kind` is the name of one of `KINDS`."""

    kind: str
    message: Text
    file: Text | None = None
    line: int | None = None
    hint: Text = ""
    also: tuple[Problem, ...] = ()

    def error(self) -> BeampermitError:
        kind = next((kind for kind in KINDS if kind.__name__ == self.kind), Outside)
        return kind(self.message, file=self.file, line=self.line, hint=self.hint, also=self.also)
