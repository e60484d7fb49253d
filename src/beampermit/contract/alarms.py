"""The alarms of a contract: which of them each PV shows, and which have no action."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from beampermit.contract import Contract
from beampermit.contract.causes import Cause, cause_of, causes, matching, raised_by
from beampermit.contract.completeness import unwritten_step
from beampermit.contract.load import FILE_NAME, line_of
from beampermit.contract.service import Alarm
from beampermit.errors import Problem, did_you_mean

ALARMS = ("operations", "alarms")


def guidance(contract: Contract, signal: str | None) -> tuple[Alarm, ...]:
    """The alarms that the PVs of an output show, in the contract's order; for None, those that no PV shows.

    A stale input shows in every output, for the model has no answer then.
    """
    all_causes = causes(contract.signals)
    outputs = {output.name for output in contract.signals.outputs}

    def shown(alarm: Alarm) -> bool:
        names = {cause.signal.name for cause in raised_by(alarm.raised_by, all_causes) if cause.signal}
        return not names if signal is None else signal in names or bool(names - outputs)

    return tuple(alarm for alarm in contract.operations.alarms if shown(alarm))


def unanswered(contract: Contract) -> tuple[Cause, ...]:
    """What can raise an alarm, and has none in the contract."""
    all_causes = causes(contract.signals)
    written = {cause.name for alarm in contract.operations.alarms for cause in raised_by(alarm.raised_by, all_causes)}
    return tuple(cause for name, cause in all_causes.items() if name not in written and not cause.answered)


def alarm_of(contract: Contract, check: str) -> Alarm | None:
    """What the contract says of a check of monitoring; None where it says nothing."""
    all_causes, name = causes(contract.signals), cause_of(check)
    named = (
        alarm
        for alarm in contract.operations.alarms
        if name in {cause.name for cause in raised_by(alarm.raised_by, all_causes)}
    )
    return next(named, None)


def problems(contract: Contract, text: str) -> tuple[Problem, ...]:
    """Alarms without an action, with two, or with a wrong severity; `text` is the contract's file."""
    return tuple(Problem(why, FILE_NAME, line_of(text, (*ALARMS, *place))) for place, why in _problems(contract))


def _problems(contract: Contract) -> Iterator[tuple[tuple[int | str, ...], str]]:
    all_causes, answered = causes(contract.signals), set[str]()
    for place, alarm in enumerate(contract.operations.alarms):
        for number, pattern in enumerate(alarm.raised_by):
            where = (place, "raised_by", number)
            names = matching(pattern, all_causes)
            if not names:
                yield where, f"raised_by {pattern!r} {_no_cause(pattern, all_causes)}"
            for name in names:
                if name in answered:
                    yield where, f"{name} is in raised_by of two alarms"
                answered.add(name)
                severity = all_causes[name].severity
                if severity and alarm.severity != severity:
                    yield (place, "severity"), f"{name} has severity {severity} in EPICS, not {alarm.severity}"
        if all(unwritten_step(step) for step in alarm.action):
            yield (place, "action"), f"{' and '.join(alarm.raised_by) or alarm.condition} has no action"
    for cause in unanswered(contract):
        yield (), f"no alarm for {cause.name} ({cause.description})"


def _no_cause(pattern: str, all_causes: Iterable[str]) -> str:
    if any(mark in pattern for mark in "*?["):
        return "matches no cause of this model's alarms"
    return f"is not a cause of this model's alarms{did_you_mean(pattern, all_causes)}"
