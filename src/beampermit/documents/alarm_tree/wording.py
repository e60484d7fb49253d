"""What an operator reads of one alarm, in a few plain lines; nothing hidden in them."""

from __future__ import annotations

from beampermit.contract import Contract
from beampermit.contract.service import Alarm
from beampermit.documents.markdown import visible
from beampermit.documents.runbook import fallback


def title(alarm: Alarm) -> str:
    """`MAJOR: fault-score above 0.9`."""
    return f"{alarm.severity}: {visible(alarm.condition)}"


def meaning(alarm: Alarm) -> str:
    """What it says about the machine."""
    return visible(alarm.meaning)


def steps(alarm: Alarm) -> str:
    """What is done, numbered, a line each."""
    return numbered(alarm.action)


def general(contract: Contract) -> dict[str, str]:
    """What holds for every alarm of the model: title -> lines."""
    model, operations = contract.model, contract.operations
    return {
        "What it is": f"{visible(model.summary)}\nNot for: {visible(model.use.out_of_scope)}",
        "When it cannot answer": numbered(fallback(contract)),
        "Whom to call": visible(operations.on_call),
        "Where to write it down": visible(operations.logbook),
    }


def numbered(lines: tuple[str, ...]) -> str:
    """Lines with their numbers, from 1."""
    return "\n".join(f"{number}. {visible(line)}" for number, line in enumerate(lines, 1))
