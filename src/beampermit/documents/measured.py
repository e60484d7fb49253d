"""What interlocks measured of a model, as far as their verdicts were given: groups of rows, and what they said."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from beampermit.documents.judged import judged
from beampermit.errors import BadInput
from beampermit.permit.statement import Statement
from beampermit.verdict import Outcome, Record, Verdict

UNCERTAINTY = ("PRF002", "REP001", "REP002", "REP003")
"""Interlocks whose reason says how far a number can be trusted."""
GROUPS = "PRF003"


class Group(Record):
    """A metric of the rows whose column `by` says `group`; `value` is None where it has no meaning for them."""

    metric: str
    by: str
    group: str
    rows: int
    value: float | None
    asks: str
    gate: float
    met: bool


def read(folder: Path, commit: str) -> tuple[Verdict, ...]:
    """The verdicts below a folder, which must be about `commit`. Raises `BadInput` for a file of no use."""
    found = judged(folder, {}, commit)
    if found.unread:
        raise BadInput(found.unread[0], hint="beampermit check --out verdicts/all.json")
    return found.verdicts


def groups(verdicts: Iterable[Verdict]) -> tuple[Group, ...]:
    """What was measured of groups; nothing where that interlock gave no verdict, or one that says it otherwise."""
    rows: Any = next((verdict.evidence.get("subgroups") for verdict in verdicts if verdict.id == GROUPS), None)
    try:
        return tuple(Group.model_validate(row) for row in rows or ())
    except (ValidationError, TypeError):
        return ()


def uncertainty(verdicts: Iterable[Verdict], permit: Statement | None) -> dict[str, str]:
    """Id -> what it said, of closed verdicts; those given, else those of the permit."""
    given = {verdict.id: verdict.reason for verdict in verdicts if verdict.outcome is Outcome.CLOSED}
    signed = {verdict.id: verdict.reason for verdict in permit.predicate.verdicts} if permit else {}
    found = {**signed, **given}
    return {id: found[id] for id in UNCERTAINTY if id in found}
