"""The text of the ledger: one JSON object a line, read strictly; a line that does not hold is named."""

from __future__ import annotations

import json

from pydantic import ValidationError

from beampermit.errors import BadInput
from beampermit.reading import first_fault, parse_json
from beampermit.registry.chronicle import Chronicle
from beampermit.registry.event import KINDS, Event

FILE_NAME = "ledger.jsonl"
MEND = "git log -p origin/beampermit-ledger"


def line(event: Event) -> str:
    """An event as the ledger keeps it."""
    return json.dumps(event.model_dump(mode="json"), ensure_ascii=False, allow_nan=False) + "\n"


def read_lines(text: str, onto: Chronicle | None = None) -> Chronicle:
    """All events of a ledger, or those that follow `onto`; where that is of one model, of other models' lines only
    their number counts. Raises `BadInput` that names the first line that does not hold.
    """
    chronicle = onto or Chronicle()
    lines = text.split("\n")
    start = chronicle.length + 1
    if lines.pop():
        raise _bad(start + len(lines), "the last line is cut off")
    for number, written in enumerate(lines, start):
        if not _may_name(written, chronicle.model):
            chronicle.pass_over()
            continue
        event = _event(written, number)
        if chronicle.model not in (None, event.model):
            chronicle.pass_over()
            continue
        fault = chronicle.fault(event)
        if fault:
            raise _bad(number, fault)
        chronicle.add(event)
    return chronicle


def read_last(text: str) -> Event:
    """The last event of a ledger that holds. Raises `BadInput` where it is none."""
    return _event(text.removesuffix("\n").rpartition("\n")[2], text.count("\n"))


def _may_name(written: str, model: str | None) -> bool:
    """False where a line is surely of another model: JSON can spell a name otherwise only with a backslash."""
    return model is None or model in written or "\\" in written


def _event(written: str, number: int) -> Event:
    try:
        content = parse_json(written.encode(), FILE_NAME)
    except BadInput as error:
        raise _bad(number, error.message) from None
    if not isinstance(content, dict):
        raise _bad(number, "an event is a JSON object")
    if content.get("event") not in KINDS:
        kind = str(content.get("event"))[:40]
        raise _bad(number, f"this beampermit knows no event {kind!r}; a newer one wrote it, or it is broken")
    unknown = sorted(set(content) - set(Event.model_fields))
    if unknown:
        raise _bad(number, f"unknown key {unknown[0][:40]!r}; a newer beampermit wrote it, or it is broken")
    try:
        return Event.model_validate(content, strict=True)
    except ValidationError as error:
        raise _bad(number, first_fault(error)) from None


def _bad(number: int, message: str) -> BadInput:
    return BadInput(message, file=FILE_NAME, line=number, hint=MEND)
