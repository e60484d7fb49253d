"""Keys of the contract that a person must write, and that are empty or still have the template's text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from beampermit.contract import Contract
from beampermit.contract.load import line_of

MARK = re.compile(r"\b(?P<address>TODO@[\w.-]+)|\bTODO\b[:\s]*(?P<what>(?:(?!\bTODO\b)[^}\"#])*)")
KEY = re.compile(r"(?:^[\s-]*\{?|\{|,)\s*(?P<key>[A-Za-z_]\w*)\s*:")


@dataclass(frozen=True)
class Todo:
    """A line marked TODO, from 1; the key on it, if any; and what is to be done."""

    line: int
    key: str
    what: str


def todos(text: str) -> tuple[Todo, ...]:
    return tuple(
        Todo(number, _key_of(line[: marks[0].start()]), "; ".join(filter(None, map(_what, marks))))
        for number, line in enumerate(text.splitlines(), 1)
        if (marks := list(MARK.finditer(line)))
    )


def _what(mark: re.Match[str]) -> str:
    what = mark["address"] or mark["what"].strip()
    return what if "[" in what else what.rstrip("]").rstrip()  # the end of a list that the mark stands in


def _key_of(before: str) -> str:
    """The key of a mark after this part of its line: in braces the one whose value it is, else the line's first."""
    keys = [match["key"] for match in KEY.finditer(before)]
    in_braces = before.count("{") > before.count("}")
    return keys[-1 if in_braces else 0] if KEY.match(before) else ""


Location = tuple[int | str, ...]
ABOUT = ("dataset", "about")
INSTRUCTION = re.compile(r"^(?:describe|explain|insert|write)\b.*", re.I | re.S)
UNWRITTEN = (
    (
        re.compile(r"\b(?:TODO|FIXME|TBD|XXX|lorem ipsum|change ?me|placeholder|fill (?:me )?in)\b", re.I),
        "a placeholder",
    ),
    (INSTRUCTION, "the template's instruction"),
    (re.compile(r"^(?:<.*>|\{\{.*\}\}|\[.*\])$", re.S), "a placeholder"),
    (re.compile(r"\bexample\.(?:com|org|net)\b", re.I), "an example address"),
    (re.compile(r"^[\W_]*(?:n/?a|none|unknown|nobody|text|string)?[\W_]*$", re.I), "empty"),
)


@dataclass(frozen=True)
class Gap:
    """A key that a person must write, its line from 1, and why its text does not count."""

    key: str
    line: int
    why: str


def gaps(contract: Contract, text: str) -> tuple[Gap, ...]:
    """What card and runbook lack; `text` is the contract's file."""
    written = ((location, why) for location, value in _written(contract) if (why := _why(location, value)))
    unanswered = [Gap(_key(location), line_of(text, location), why) for location, why in written]
    lines = {gap.line for gap in unanswered}
    marked = (Gap(todo.key or "a comment", todo.line, "marked TODO") for todo in todos(text) if todo.line not in lines)
    return (*unanswered, *marked)


def about_gaps(contract: Contract, text: str) -> tuple[Gap, ...]:
    """What the datasheet lacks in `dataset.about`; `text` is the contract's file."""
    about = contract.dataset.about
    if about is None:
        return ()
    texts: list[tuple[Location, str]] = [(("purpose",), about.purpose), (("collected",), about.collected)]
    texts += [(("limitations", place), line) for place, line in enumerate(about.limitations)]
    empty = (
        ((*ABOUT, *location), why)
        for location, value in [*texts, (("terms",), about.terms)]
        if (why := unwritten(value))
    )
    return tuple(Gap(_key(location), line_of(text, location), why) for location, why in empty)


def _written(contract: Contract) -> Iterator[tuple[Location, str]]:
    """Each text that a person must write, with its place."""
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
    """Why a text does not count; empty where it does."""
    return _first_why(value, UNWRITTEN)


def unwritten_step(value: str) -> str:
    """As `unwritten`, for what an operator does, who may well be told to write something down."""
    return _first_why(value, [rule for rule in UNWRITTEN if rule[0] is not INSTRUCTION])


def _first_why(value: str, rules: Iterable[tuple[re.Pattern[str], str]]) -> str:
    return next((why for pattern, why in rules if pattern.search(value.strip())), "")


def _why(location: Location, value: str) -> str:
    return unwritten_step(value) if "action" in location else unwritten(value)


def _key(location: Location) -> str:
    """`model.owners[0].email`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
