"""What interlocks measured of a model, as far as their verdicts were given: groups of rows, and what they said."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from beampermit.errors import BadInput
from beampermit.permit.statement import Statement
from beampermit.record import Record
from beampermit.verdicts.merge import merge_verdict_files
from beampermit.verdicts.verdict import Outcome, Verdict

UNCERTAINTY = ("PRF002", "REP001", "REP002", "REP003")
"""Interlocks whose reason says how far a number can be trusted."""
GROUPS = "PRF003"


class Group(Record):
    """A metric of the rows whose columns `by` say `group`; `value` is None where it has no meaning for them, or `few`
    of them. `asks` is empty where no gate stands. `low` to `high` is what resamples of the rows give.
    """

    metric: str
    by: Annotated[tuple[str, ...], Field(min_length=1)]
    group: tuple[str, ...]
    rows: int
    few: bool = False
    value: float | None
    low: float | None = None
    high: float | None = None
    asks: str
    gate: float | None
    met: bool | None

    @model_validator(mode="after")
    def _each_has_one(self) -> Group:
        if len(self.by) != len(self.group):
            raise ValueError("each column has one value")
        return self


class Crossing(Record):
    """Combinations of values that are not among the groups: how many."""

    by: tuple[str, ...]
    cells: int


class Groups(Record):
    """What was measured of groups. `left_out` would be too many; of `empty` no row was judged."""

    subgroups: tuple[Group, ...] = ()
    left_out: tuple[Crossing, ...] = ()
    empty: tuple[Crossing, ...] = ()
    confidence: float | None = None

    @property
    def unitary(self) -> tuple[Group, ...]:
        """By one factor."""
        return tuple(group for group in self.subgroups if len(group.by) == 1)

    @property
    def crossed(self) -> tuple[Group, ...]:
        """By several at once."""
        return tuple(group for group in self.subgroups if len(group.by) > 1)


def read(folder: Path, commit: str) -> tuple[Verdict, ...]:
    """The verdicts below a folder, which must be about `commit`. Raises `BadInput` for a file of no use."""
    found = merge_verdict_files(folder, {}, commit)
    if found.unread:
        raise BadInput(found.unread[0], hint="beampermit check --out verdicts/all.json")
    return found.verdicts


def groups(verdicts: Iterable[Verdict]) -> Groups:
    """What was measured of groups; nothing where that interlock gave no verdict, or one that says it otherwise."""
    evidence: Any = next((verdict.evidence for verdict in verdicts if verdict.id == GROUPS), {})
    try:
        return Groups.model_validate({key: evidence[key] for key in Groups.model_fields if key in evidence})
    except (ValidationError, TypeError):
        return Groups()


def uncertainty(verdicts: Iterable[Verdict], permit: Statement | None) -> dict[str, str]:
    """Id -> what it said, of passed verdicts; those given, else those of the permit."""
    given = {verdict.id: verdict.reason for verdict in verdicts if verdict.outcome is Outcome.PASSED}
    signed = {verdict.id: verdict.reason for verdict in permit.predicate.verdicts} if permit else {}
    found = {**signed, **given}
    return {id: found[id] for id in UNCERTAINTY if id in found}
