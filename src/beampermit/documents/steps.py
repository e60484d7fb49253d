"""What to do first: open interlocks in the order in which mending them helps most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from beampermit.verdict import Outcome, Verdict

ORDER = (
    *("ENV001", "ENV002", "DAT002", "DAT001", "DAT008", "DOC001", "DOC002", "TST001", "TST004", "GIT003"),
    *("ENV", "DAT", "TST", "MDL", "PRF", "REP", "DOC", "GIT"),
)
"""Ids, then whole families: a lock and data that others can fetch come before promises, promises before proofs."""
FOLLOWS = "not looked at:"
"""How the runner begins the reason of an interlock that waits for another one."""


@dataclass(frozen=True)
class Step:
    """One thing to do, for one interlock and for `others` that wait for the same."""

    id: str
    others: tuple[str, ...]
    reason: str


def steps(verdicts: Iterable[Verdict]) -> tuple[Step, ...]:
    """What to do, most useful first; what would close by itself when something else is mended is not named."""
    found: dict[tuple[str, str], list[str]] = {}
    for verdict in sorted(verdicts, key=lambda one: rank(one.id)):
        if not verdict.closed and not verdict.reason.startswith(FOLLOWS):
            alone = "" if verdict.outcome is Outcome.SKIPPED else verdict.id
            found.setdefault((alone, verdict.reason), []).append(verdict.id)
    return tuple(Step(ids[0], tuple(ids[1:]), reason) for (_, reason), ids in found.items())


def rank(id: str) -> int:
    """Lower is sooner."""
    return next((place for place, name in enumerate(ORDER) if id.startswith(name)), len(ORDER))
