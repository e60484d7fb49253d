"""What an operator is told of each alarm, the same in runbook, Phoebus and JAWS; and which alarm says nothing."""

from __future__ import annotations

from collections.abc import Iterator

from beampermit.contract import Contract
from beampermit.contract.causes import Cause, causes
from beampermit.contract.completeness import unwritten
from beampermit.contract.load import FILE_NAME, line_of
from beampermit.contract.service import Alarm
from beampermit.errors import Problem, meant

ALARMS = ("operations", "alarms")


def guidance(contract: Contract, signal: str | None) -> tuple[Alarm, ...]:
    """What is said of the alarms that PVs of an output show, in the contract's order; of None, what no PV shows.

    An input that is too old shows in every output: the model has no answer then.
    """
    known = causes(contract.signals)
    outputs = {output.name for output in contract.signals.outputs}

    def shown(alarm: Alarm) -> bool:
        by = [known[name].signal for name in alarm.raised_by if name in known]
        names = {found.name for found in by if found}
        return not names if signal is None else signal in names or bool(names - outputs)

    return tuple(alarm for alarm in contract.operations.alarms if shown(alarm))


def unanswered(contract: Contract) -> tuple[Cause, ...]:
    """What can raise an alarm of which the contract says nothing."""
    said = {name for alarm in contract.operations.alarms for name in alarm.raised_by}
    return tuple(cause for name, cause in causes(contract.signals).items() if name not in said)


def problems(contract: Contract, text: str) -> tuple[Problem, ...]:
    """Every way in which the contract leaves an alarm without an answer; `text` is the contract's file."""
    return tuple(Problem(why, FILE_NAME, line_of(text, (*ALARMS, *place))) for place, why in _problems(contract))


def _problems(contract: Contract) -> Iterator[tuple[tuple[int | str, ...], str]]:
    known, answered = causes(contract.signals), set[str]()
    for place, alarm in enumerate(contract.operations.alarms):
        for number, name in enumerate(alarm.raised_by):
            where = (place, "raised_by", number)
            if name not in known:
                yield where, f"{name!r} is nothing that this model raises{meant(name, known)}"
                continue
            if name in answered:
                yield where, f"{name} has two answers"
            answered.add(name)
            severity = known[name].severity
            if severity and alarm.severity != severity:
                yield (place, "severity"), f"{name} is {severity} in EPICS, and the runbook says {alarm.severity}"
        if all(unwritten(step) for step in alarm.action):
            yield (place, "action"), f"{' and '.join(alarm.raised_by) or alarm.condition} has no action"
    for cause in unanswered(contract):
        yield (), f"nothing is said of {cause.name}: {cause.words}"
