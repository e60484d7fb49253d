"""What only a person can write, and has not: keys of the contract that are empty or still say what a template said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from beampermit.contract import Contract
from beampermit.contract.load import line_of

MARK = re.compile(r"\bTODO\b[:\s]*(?P<what>(?:(?!\bTODO\b)[^}\"#])*)")
KEY = re.compile(r"^[\s-]*(?:\{)?(?P<key>[A-Za-z_]\w*)\s*:")


@dataclass(frozen=True)
class Todo:
    """A marked line, from 1, the key on it if there is one, and what its marks ask for."""

    line: int
    key: str
    what: str


def todos(text: str) -> tuple[Todo, ...]:
    """Every marked line of a contract's text."""
    return tuple(
        Todo(number, _unwritten_key(line), "; ".join(filter(None, (mark["what"].strip() for mark in marks))))
        for number, line in enumerate(text.splitlines(), 1)
        if (marks := list(MARK.finditer(line)))
    )


def _unwritten_key(line: str) -> str:
    found = KEY.match(line)
    return found["key"] if found else ""


Location = tuple[int | str, ...]
ABOUT = ("dataset", "about")
UNWRITTEN = (
    (
        re.compile(r"\b(?:TODO|FIXME|TBD|XXX|lorem ipsum|change ?me|placeholder|fill (?:me )?in)\b", re.I),
        "a placeholder",
    ),
    (re.compile(r"^(?:describe|explain|insert|write)\b.*", re.I | re.S), "an instruction, not an answer"),
    (re.compile(r"^(?:<.*>|\{\{.*\}\}|\[.*\])$", re.S), "a placeholder"),
    (re.compile(r"\bexample\.(?:com|org|net)\b", re.I), "an address that belongs to nobody"),
    (re.compile(r"^[\W_]*(?:n/?a|none|unknown|nobody|text|string)?[\W_]*$", re.I), "empty"),
)


@dataclass(frozen=True)
class Gap:
    """A key that a person is to write, with its line from 1, and what stands there instead."""

    key: str
    line: int
    why: str


def gaps(contract: Contract, text: str) -> tuple[Gap, ...]:
    """What is missing in a contract before card and runbook can be called complete; `text` is the contract's file."""
    written = ((location, why) for location, value in _written(contract) if (why := unwritten(value)))
    found = [Gap(_key(location), line_of(text, location), why) for location, why in written]
    lines = {gap.line for gap in found}
    marked = (Gap(todo.key or "a comment", todo.line, "marked TODO") for todo in todos(text) if todo.line not in lines)
    return (*found, *marked)


def about_gaps(contract: Contract, text: str) -> tuple[Gap, ...]:
    """What is missing in `dataset.about` before a datasheet can be called complete."""
    about = contract.dataset.about
    if about is None:
        return ()
    texts: list[tuple[Location, str]] = [(("purpose",), about.purpose), (("collected",), about.collected)]
    texts += [(("limitations", place), line) for place, line in enumerate(about.limitations)]
    found = (
        ((*ABOUT, *location), why)
        for location, value in [*texts, (("terms",), about.terms)]
        if (why := unwritten(value))
    )
    return tuple(Gap(_key(location), line_of(text, location), why) for location, why in found)


def _written(contract: Contract) -> Iterator[tuple[Location, str]]:
    """Each text of the contract that a person answers for."""
    model, operations = contract.model, contract.operations
    yield ("model", "summary"), model.summary
    yield ("model", "kind"), model.kind or ""
    for place, owner in enumerate(model.owners):
        for key in ("name", "email", "role"):
            yield ("model", "owners", place, key), getattr(owner, key)
    yield ("model", "use", "intended"), model.use.intended
    yield ("model", "use", "users"), model.use.users or ""
    yield ("model", "use", "out_of_scope"), model.use.out_of_scope
    for key in ("limitations", "factors", "considerations", "caveats"):
        lines = getattr(model.use, key)
        if not lines:
            yield ("model", "use", key), ""
        for place, line in enumerate(lines):
            yield ("model", "use", key, place), line
    yield ("evaluation", "about"), contract.evaluation.about or ""
    for place, signal in enumerate(contract.signals.outputs):
        yield ("signals", "outputs", place, "description"), signal.description
    for place, metric in enumerate(contract.metrics):
        yield ("metrics", place, "description"), metric.description
    yield ("operations", "on_call"), operations.on_call
    yield ("operations", "logbook"), operations.logbook
    for place, alarm in enumerate(operations.alarms):
        yield ("operations", "alarms", place, "condition"), alarm.condition
        yield ("operations", "alarms", place, "meaning"), alarm.meaning
        for step, action in enumerate(alarm.action):
            yield ("operations", "alarms", place, "action", step), action


def unwritten(value: str) -> str:
    """Why a text is no answer; empty where it is one."""
    return next((why for pattern, why in UNWRITTEN if pattern.search(value.strip())), "")


def _key(location: Location) -> str:
    """`model.owners[0].email`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
