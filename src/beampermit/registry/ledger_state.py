"""What the ledger says today: each model's state, grown event by event, so that no event is looked at twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import ValidationError

from beampermit.errors import BadInput
from beampermit.reading import first_fault, parse_json
from beampermit.registry.event import KINDS, Event


@dataclass
class ModelState:
    """One model, after all events so far."""

    last: Event | None = None
    """The event that put a version into service last; it says nothing of whether that version is still there."""
    champion: Event | None = None
    """The same while its version is in service; None where nothing was promoted, or the champion was retired."""
    promoted: dict[int, Event] = field(default_factory=dict)
    """Version -> the event that first put it into service, in the order of promotion."""
    retired: dict[int, Event] = field(default_factory=dict)
    """Version -> the event that took it out of service for good."""
    frozen: Event | None = None
    """The freeze that is not lifted yet."""
    events: list[Event] = field(default_factory=list)

    @property
    def seen(self) -> int | None:
        """The version in service: what the next event must expect."""
        return self.champion.version if self.champion else None

    @property
    def before(self) -> Event | None:
        """What a rollback goes back to: the version in service before the last one was first promoted, of those that
        were not retired.
        """
        if self.last is None:
            return None
        first = self.promoted[self.last.version]
        earlier = (event for event in reversed(self.events) if event.places and event.sequence < first.sequence)
        return next((self.promoted[event.version] for event in earlier if event.version not in self.retired), None)

    def touched(self, since: int) -> set[int] | None:
        """The versions of which something was said after line `since`, and the one in service.

        None where that line put none of this model's versions into service.
        """
        found = {self.seen} if self.seen else set[int]()
        for event in reversed(self.events):
            if event.sequence <= since:
                return found if event.sequence == since else None
            found |= {event.version, event.expected} - {None}
        return None

    def fault(self, event: Event) -> str | None:
        """Why `event` cannot come next, or None."""
        if event.expected != self.seen:
            return f"expected champion version {event.expected}, but it was {self.seen}"
        if event.event == "promote":
            return self._fault_of_promotion(event)
        if not self._was_promoted(event):
            deed = {"rollback": "goes back to", "retire": "retires"}.get(event.event, f"{event.event}s at")
            return f"{deed} version {event.version}, which was never promoted as this digest and permit"
        if event.event == "retire" and event.version in self.retired:
            return f"retires version {event.version}, which was retired before"
        if event.event in ("freeze", "thaw") and (event.event == "freeze") == bool(self.frozen):
            return f"{event.event}s a model that was {'frozen' if self.frozen else 'not frozen'}"
        return None

    def add(self, event: Event) -> None:
        """Take over an event that has no fault."""
        self.events.append(event)
        match event.event:
            case "promote" | "rollback":
                self.last = self.champion = event
                self.promoted.setdefault(event.version, event)
                self.retired.pop(event.version, None)
            case "retire":
                self.retired[event.version] = event
                if event.version == self.seen:
                    self.champion = None
            case "freeze":
                self.frozen = event
            case "thaw":
                self.frozen = None

    def _fault_of_promotion(self, event: Event) -> str | None:
        if self.frozen:
            return f"promotes while the model is frozen since line {self.frozen.sequence}"
        if event.version in self.promoted:
            return f"promotes version {event.version} a second time"
        return None

    def _was_promoted(self, event: Event) -> bool:
        first = self.promoted.get(event.version)
        return first is not None and (first.digest, first.permit, first.commit) == (
            event.digest,
            event.permit,
            event.commit,
        )


@dataclass
class LedgerState:
    """The events of a ledger, oldest first, and the state of each model: of all models, or of `model` alone."""

    model: str | None = None
    length: int = 0
    """Lines of the ledger so far, those of other models as well."""
    events: list[Event] = field(default_factory=list)
    states: dict[str, ModelState] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[Event]) -> LedgerState:
        """That of events which are known to hold."""
        made = cls()
        for event in events:
            made.add(event)
        return made

    def state(self, model: str) -> ModelState:
        """The state of a model; of one that was never promoted, an empty one."""
        return self.states.get(model) or ModelState()

    def fault(self, event: Event) -> str | None:
        """Why `event` cannot come next, or None: a history in which nothing was lost or slipped in."""
        place = self.length + 1
        if event.sequence != place:
            return f"sequence is {event.sequence}, and this is line {place}"
        return self.state(event.model).fault(event)

    def add(self, event: Event) -> None:
        """Take over an event that has no fault."""
        self.length += 1
        self.events.append(event)
        self.states.setdefault(event.model, ModelState()).add(event)

    def pass_over(self) -> None:
        """Count a line of another model."""
        self.length += 1


LEDGER_FILE = "ledger.jsonl"
FIX = "git log -p origin/beampermit-ledger"


def format_line(event: Event) -> str:
    """An event as the ledger keeps it."""
    return json.dumps(event.model_dump(mode="json"), ensure_ascii=False, allow_nan=False) + "\n"


def parse_lines(text: str, onto: LedgerState | None = None) -> LedgerState:
    """All events of a ledger, or those that follow `onto`; where that is of one model, of other models' lines only
    their number counts. Raises `BadInput` that names the first line that does not hold.
    """
    chronicle = onto or LedgerState()
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


def parse_last_line(text: str) -> Event:
    """The last event of a ledger that holds. Raises `BadInput` where it is none."""
    return _event(text.removesuffix("\n").rpartition("\n")[2], text.count("\n"))


def _may_name(written: str, model: str | None) -> bool:
    """False where a line is surely of another model: JSON can spell a name otherwise only with a backslash."""
    return model is None or model in written or "\\" in written


def _event(written: str, number: int) -> Event:
    try:
        content = parse_json(written.encode(), LEDGER_FILE)
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
    return BadInput(message, file=LEDGER_FILE, line=number, hint=FIX)
