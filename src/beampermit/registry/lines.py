"""The text of the ledger: one JSON object a line, read strictly; a line that does not hold is named."""

from __future__ import annotations

import json

from pydantic import ValidationError

from beampermit.errors import BadInput
from beampermit.files import parse_json
from beampermit.registry.event import KINDS, Event, champion

FILE_NAME = "ledger.jsonl"
MEND = "git log -p origin/beampermit-ledger"


def write_lines(text: str, event: Event) -> str:
    """The ledger's text with one more line."""
    return text + json.dumps(event.model_dump(mode="json"), ensure_ascii=False, allow_nan=False) + "\n"


def read_lines(text: str) -> tuple[Event, ...]:
    """All events of a ledger, oldest first. Raises `BadInput` that names the first line which does not hold."""
    events: list[Event] = []
    lines = text.split("\n")
    if lines.pop():
        raise _bad(len(lines) + 1, "the last line is cut off")
    for number, line in enumerate(lines, 1):
        event = _event(line, number)
        _follows(event, events, number)
        events.append(event)
    return tuple(events)


def _event(line: str, number: int) -> Event:
    try:
        content = parse_json(line.encode(), FILE_NAME)
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
        first = error.errors()[0]
        raise _bad(number, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _follows(event: Event, before: list[Event], number: int) -> None:
    """Whether an event can come after those `before`: a history in which nothing was lost or slipped in."""
    if event.sequence != number:
        raise _bad(number, f"sequence is {event.sequence}, and this is line {number}")
    last = champion(before, event.model)
    seen = last.version if last else None
    if event.expected != seen:
        raise _bad(number, f"expected champion version {event.expected}, but it was {seen}")
    if event.event == "rollback" and not _same_as_promoted(event, before):
        raise _bad(number, f"goes back to version {event.version}, which was never promoted as this digest and permit")


def _same_as_promoted(event: Event, before: list[Event]) -> bool:
    wanted = (event.model, event.version, event.digest, event.permit, event.commit)
    return any(wanted == (one.model, one.version, one.digest, one.permit, one.commit) for one in before)


def _bad(number: int, message: str) -> BadInput:
    return BadInput(message, file=FILE_NAME, line=number, hint=MEND)
