"""The ledger's lines, and each model's state after them; new lines extend a state without reading old ones again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from beampermit.errors import BadInput
from beampermit.reading import first_fault, parse_json
from beampermit.registry.bypasses import AT_MOST, Bypass, in_force
from beampermit.registry.event import KINDS, SKEW, Event


@dataclass
class ModelState:
    last_in_service: Event | None = None
    """The event that last put a version into service, also if that version was retired since."""
    champion: Event | None = None
    """The same while its version is in service; None before the first promotion and after the champion is retired."""
    promoted: dict[int, Event] = field(default_factory=dict)
    """Version -> its promotion, in order."""
    retired: dict[int, Event] = field(default_factory=dict)
    """Version -> its retirement."""
    frozen: Event | None = None
    """The freeze in effect."""
    home: Event | None = None
    """The last event that names the registry."""
    bypassed: dict[tuple[str, str], Event] = field(default_factory=dict)
    """Alarm and subject -> the last bypass of it, which may have ended."""
    images: dict[int, Event] = field(default_factory=dict)
    """Version -> the last image that was built of it."""
    events: list[Event] = field(default_factory=list)

    def bypasses(self, at: datetime, at_most: float = AT_MOST) -> tuple[Bypass, ...]:
        """What is in force at a moment, oldest first; none lasts longer than `at_most` s, whatever its line says.

        `at_most` is `monitoring.bypass_at_most` of the contract of the version in service.
        """
        return in_force(self.bypassed.values(), at, at_most)

    @property
    def champion_version(self) -> int | None:
        """The `expected` of the next event."""
        return self.champion.version if self.champion else None

    @property
    def out_of_service(self) -> Event | None:
        """The retirement since which no version is in service."""
        last = self.last_in_service
        return self.retired[last.version] if last and self.champion is None else None

    def promotion_of(self, version: int) -> Event:
        """Raises `BadInput` for a version that was never champion."""
        promotion = self.promoted.get(version)
        if promotion is None:
            champions = ", ".join(map(str, sorted(self.promoted))) or "none"
            raise BadInput(f"version {version} was never champion; these were: {champions}", hint="beampermit history")
        return promotion

    def next_event(self, of: Event) -> dict[str, Any]:
        """What the next event begins with, where it is about the version of `of`."""
        home = {"registry": self.home.registry, "address": self.home.address} if self.home else {}
        return {**of.shared, **home, "expected": self.champion_version}

    def rollback_target(self, believed: Callable[[Event], bool]) -> Event | None:
        """The promotion of the version, believed and not retired, that was in service before the last was promoted."""
        if self.last_in_service is None:
            return None
        first = self.promoted[self.last_in_service.version]
        earlier = (event for event in reversed(self.events) if event.starts_service and event.sequence < first.sequence)
        served = (self.promoted[event.version] for event in earlier if event.version not in self.retired)
        return next((event for event in served if believed(event)), None)

    def versions_since(self, line: int) -> set[int] | None:
        """The versions in events after `line`, and the champion; None where `line` is not an event of this model."""
        versions = {self.champion_version} if self.champion_version else set[int]()
        for event in reversed(self.events):
            if event.sequence <= line:
                return versions if event.sequence == line else None
            versions |= {event.version, event.expected} - {None}
        return None

    def fault(self, event: Event) -> str | None:
        """Why `event` cannot be the next event, or None."""
        if event.expected != self.champion_version:
            return f"expected champion version {event.expected}, but it was {self.champion_version}"
        return self.fault_of_content(event)

    def fault_of_content(self, event: Event) -> str | None:
        """As `fault`, whatever the champion is then."""
        if event.event == "promote":
            return self._fault_of_promotion(event)
        if not self._was_promoted(event):
            verbs = {
                "rollback": "rolls back to",
                "retire": "retires",
                "re-sign": "re-signs",
                "bypass": "bypasses an alarm of",
                "image": "names an image of",
            }
            verb = verbs.get(event.event, f"{event.event}s at")
            return f"{verb} version {event.version}, which was never promoted with this digest, permit and commit"
        before = self.retired.get(event.version)
        # Again with another successor or date: what people are told changes.
        if event.event == "retire" and before and (before.successor, before.until) == (event.successor, event.until):
            return f"retires version {event.version}, which was already retired"
        if event.event in ("freeze", "thaw") and (event.event == "freeze") == bool(self.frozen):
            return f"{event.event}s a model that was {'already' if self.frozen else 'not'} frozen"
        return None

    def add(self, event: Event) -> None:
        """Apply an event without a fault."""
        self.events.append(event)
        if event.registry:
            self.home = event
        match event.event:
            case "promote" | "rollback":
                self.last_in_service = self.champion = event
                self.promoted.setdefault(event.version, event)
                self.retired.pop(event.version, None)
            case "retire":
                self.retired[event.version] = event
                if event.version == self.champion_version:
                    self.champion = None
            case "freeze":
                self.frozen = event
            case "thaw":
                self.frozen = None
            case "bypass":
                self.bypassed[event.alarm or "", event.subject or ""] = event
            case "image":
                self.images[event.version] = event
            case "re-sign" | "move":
                pass

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
    """The events of all models or of `model`, oldest first, and the state of each model."""

    model: str | None = None
    length: int = 0
    """Lines of the ledger, including those of other models."""
    events: list[Event] = field(default_factory=list)
    states: dict[str, ModelState] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[Event]) -> LedgerState:
        """The state after events that are known to be valid."""
        state = cls()
        for event in events:
            state.add(event)
        return state

    def state(self, model: str) -> ModelState:
        """Empty for a model that was never promoted."""
        return self.states.get(model) or ModelState()

    def fault(self, event: Event) -> str | None:
        """Why `event` cannot be the next line, or None."""
        line = self.length + 1
        if event.sequence != line:
            return f"sequence is {event.sequence}, but this is line {line}"
        first, *others = event.parts
        faults = [self.state(first.model).fault(first)] if self.reads(first.model) else []
        for part in filter(lambda part: self.reads(part.model), others):
            state = self.state(part.model)
            # The champion before it is judged with the promotion that replaces it.
            faults.append(state.fault_of_content(part) if part.model == first.model else state.fault(part))
        return next(filter(None, faults), None)

    def add(self, event: Event) -> None:
        """Append an event without a fault."""
        self.length += 1
        self.events.append(event)
        for part in event.parts:
            if self.reads(part.model):
                self.states.setdefault(part.model, ModelState()).add(part)

    def reads(self, model: str) -> bool:
        return self.model in (None, model)

    def odd_times(self) -> dict[int, str]:
        """Line -> why its time cannot be right, beyond what clocks differ: before the line above, or in the future."""
        odd: dict[int, str] = {}
        now = datetime.now(UTC)
        for event in self.events:
            if event.moment - now > SKEW:
                odd[event.sequence] = f"line {event.sequence} is dated {event.at}, which is in the future"
        for before, event in pairwise(self.events):
            if before.moment - event.moment > SKEW:
                odd[event.sequence] = (
                    f"line {event.sequence} is dated {event.at}, before line {before.sequence} ({before.at}): "
                    "the order is that of the lines, and one of the times is wrong"
                )
        return odd

    def skip_line(self) -> None:
        """Count a line of another model."""
        self.length += 1


LEDGER_FILE = "ledger.jsonl"
FIX = "git log -p origin/beampermit-ledger"


def format_line(event: Event) -> str:
    """The event as a line of the ledger."""
    return json.dumps(event.content, ensure_ascii=False, allow_nan=False) + "\n"


def fault_of_line(event: Event) -> str | None:
    """Why nobody could read the ledger with the line of `event`, or None."""
    try:
        parse_last_line(format_line(event))
    except BadInput as error:
        return f"would be a line that nobody can read: {error.message}"
    return None


def parse_lines(text: str, onto: LedgerState | None = None) -> LedgerState:
    """The state after the lines of `text`, which follow those of `onto`, if given.

    Where `onto` is of one model, lines of other models are only counted. Raises `BadInput` with the first bad line.
    """
    ledger = onto or LedgerState()
    lines = text.split("\n")
    start = ledger.length + 1
    if lines.pop():
        raise _bad(start + len(lines), "the last line is incomplete")
    for number, written in enumerate(lines, start):
        if not _may_name(written, ledger.model):
            ledger.skip_line()
            continue
        event = _event(written, number)
        if not any(ledger.reads(part.model) for part in event.parts):
            ledger.skip_line()
            continue
        fault = ledger.fault(event)
        if fault:
            raise _bad(number, fault)
        ledger.add(event)
    return ledger


def parse_last_line(text: str) -> Event:
    """The event in the last line of `text`. Raises `BadInput`."""
    return _event(text.removesuffix("\n").rpartition("\n")[2], text.count("\n"))


def _may_name(written: str, model: str | None) -> bool:
    """False where a line is of another model for sure: JSON can write the name differently only with a backslash."""
    return model is None or model in written or "\\" in written


def _event(written: str, number: int) -> Event:
    try:
        content = parse_json(written.encode(), LEDGER_FILE)
    except BadInput as error:
        raise _bad(number, error.message) from None
    if not isinstance(content, dict):
        raise _bad(number, "the line is not a JSON object")
    if content.get("event") not in KINDS:
        kind = str(content.get("event"))[:40]
        raise _bad(number, f"unknown event {kind!r}: written by a newer beampermit, or damaged")
    unknown = sorted(set(content) - set(Event.model_fields))
    if unknown:
        raise _bad(number, f"unknown key {unknown[0][:40]!r}: written by a newer beampermit, or damaged")
    try:
        return Event.model_validate(content, strict=True)
    except ValidationError as error:
        raise _bad(number, first_fault(error)) from None


def _bad(number: int, message: str) -> BadInput:
    return BadInput(message, file=LEDGER_FILE, line=number, hint=FIX)
