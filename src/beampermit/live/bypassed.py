"""What the alarm of an output says where people have bypassed it: value, severity and status stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from beampermit.live.limits import ORDER
from beampermit.live.severity import Severity
from beampermit.live.update import Value

LIMITS = {status: name for name, status, _ in ORDER}
"""Status -> the limit that it says is passed."""


@dataclass(frozen=True)
class Bypassed:
    """As the ledger has it, with its words fit for a screen."""

    alarm: str
    """A check of monitoring, or a cause of the contract such as `score.high`."""
    subject: str
    """A PV or a device; empty for all of them."""
    until: float
    """s since 1970."""
    words: str
    """Such as `bypassed until 2026-11-23T17:00:00Z by Ada: a study`."""


def summary(bypassed: Iterable[Bypassed]) -> str:
    """All of them in one line, for REASON."""
    return "; ".join(f"{f'{one.alarm} {one.subject}'.rstrip()} is {one.words}" for one in bypassed)


def told(value: Value, output: str, subjects: Iterable[str], bypassed: Sequence[Bypassed], now: float) -> Value:
    """The value with the bypass of its alarm in its message; `subjects` are the names of its PV and its device."""
    if value.severity == Severity.INVALID:
        cause = f"{output}.invalid"
    elif value.status in LIMITS:
        cause = f"{output}.{LIMITS[value.status]}"
    else:
        return value
    names = ("", *subjects)
    of_it = (one for one in bypassed if one.alarm == cause and one.subject in names and now < one.until)
    found = next(of_it, None)
    if found is None:
        return value
    return replace(value, message=f"{value.message}; {found.words}" if value.message else found.words)
