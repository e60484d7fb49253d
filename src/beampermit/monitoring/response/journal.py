"""What is to be done about alarms and what was: kept in the monitor's state folder, replaced by rename at each step.

A kill leaves the journal of the step before, so the next run finishes that step; each step first looks whether it was
carried out already.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from beampermit.errors import BadInput
from beampermit.files import write_text
from beampermit.reading import first_fault, read_json
from beampermit.record import Count, Number, Record
from beampermit.verdicts.monitoring import Result, Standing, Trip

FILE = "response.json"
REMEMBERED = 2000
"""Finished tasks that are remembered, so that a trip which is told twice is answered once."""
SHOWN = 100
"""Lines of what was done."""
Kind = Literal["candidate", "logbook", "webhook", "propose-limits", "retrain", "fall-back"]


class Issue(Record):
    """The issue of an alarm on GitHub, and what its readers know."""

    number: Count = 0
    """0 where it is being opened: it may be there already."""
    told: str = ""
    """The last of what was said there, such as `2 MAJOR` in its second episode; empty where it is not open yet."""
    reminded: Number = 0.0
    """When something was said last, s since 1970."""
    bypassed_until: Number | None = None
    """Of the bypass that was said last."""
    left_alone: bool = False
    """A person closed, locked or deleted it: nothing more is said until the alarm clears."""
    closing: bool = False
    """We are closing it: where it is closed then, it was us."""
    closed: bool = False
    """By us."""


class FallBack(Record):
    """What became of going back to the former champion, or that it failed and is tried again."""

    state: Literal["done", "failed", "left"]
    text: str
    """The event, or why there is none."""


class Alarm(Record):
    """An alarm by its check and subject, from its first raise until its issue is closed."""

    trip: Trip
    """Of the last raise, or of the last time that it got worse."""
    episode: Count = 1
    before: tuple[str, ...] = ()
    """Names of its earlier episodes' trips."""
    cleared: Trip | None = None
    cleared_at: Number = 0.0
    well_until: Number | None = None
    """When the episode before this one had cleared, by the data, s since 1970; None where there was none."""
    fall_back: FallBack | None = None
    """Of this episode; None where it starts none, or none was tried yet."""
    issue: Issue | None = None
    quiet: bool = False
    """It was raised while many were on: no logbook and no webhook hears of it."""
    gathered: bool = False
    """It has no issue of its own: the issue of many alarms lists it."""

    @property
    def key(self) -> str:
        return key_of(self.trip)

    @property
    def on(self) -> bool:
        return self.cleared is None

    def clear_for(self, at: float, seconds: float) -> bool:
        """Whether it has been clear for so many seconds at the time `at`."""
        return not self.on and at - self.cleared_at >= seconds


class Task(Record):
    """One thing to do once for a trip."""

    kind: Kind
    trip: Trip
    asked: Number
    """When it was asked for, s since 1970."""
    begun: bool = False
    """It may have been carried out already, although nothing was noted."""
    tries: Count = 0
    due: Number = 0.0
    """Not before then, s since 1970."""
    error: str = ""

    @property
    def id(self) -> str:
        return f"{self.kind} {name_of(self.trip)}"


class Proposal(Record):
    """What the monitor asked people for, or did itself."""

    kind: Kind
    at: Number
    address: str = ""


class Journal(Record):
    """`gathering` is the issue of those alarms that have none of their own."""

    format: Literal[1] = 1
    alarms: tuple[Alarm, ...] = ()
    tasks: tuple[Task, ...] = ()
    finished: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    gathering: Issue | None = None
    heartbeat: Issue | None = None
    releases: str = ""
    """The model whose releases are to say that another version serves, since the monitor went back; empty if none."""
    reported: Number = 0.0
    """When GitHub was last told that the monitor lives, s since 1970."""
    wait_until: Number = 0.0
    """GitHub is not asked before then, s since 1970."""
    troubles: Count = 0
    """How often in a row GitHub could not be told."""
    problem: str = ""
    """Why GitHub could not be told last; empty where it could."""
    log: tuple[str, ...] = ()
    """The newest lines of what was done."""

    def find(self, key: str) -> Alarm | None:
        return next((alarm for alarm in self.alarms if alarm.key == key), None)


def newest(alarm: Alarm, result: Result | None) -> Standing | None:
    """How the alarm stands in the newest window; None where that is not known."""
    if result is None or result.model != alarm.trip.model:
        return None
    return next((one for one in result.standings if one.key == alarm.trip.standing.key), None)


def key_of(trip: Trip) -> str:
    """Such as `bpm-faults MON001 turns.std`."""
    return f"{trip.model} {trip.standing.key}"


def time_of(trip: Trip) -> float:
    """When it tripped, by the data: of what arrives late, one round judges many windows."""
    newest = trip.standing.reading.newest
    return trip.window.until if newest is None else newest


def name_of(trip: Trip) -> str:
    """One of what can be said of an alarm: raised at a level, or cleared."""
    return f"{trip.name} {'cleared' if trip.cleared else trip.standing.level}"


def load_journal(folder: Path) -> Journal:
    """That of a state folder; an empty one where there is none. Raises `BadInput` where it is damaged."""
    file = folder / FILE
    if not file.exists():
        return Journal()
    content = read_json(file, limit=64 * 2**20)
    try:
        return Journal.model_validate(content)
    except ValidationError as error:
        hint = f"move {file} away: what it had begun is then not finished"
        raise BadInput(f"not a journal of responses: {first_fault(error)}", file=file, hint=hint) from None


def store_journal(folder: Path, journal: Journal) -> None:
    write_text(folder / FILE, journal.model_dump_json() + "\n")  # often, and long in a flood: without indentation
