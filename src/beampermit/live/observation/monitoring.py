"""What the monitor says of the version in service, read from its folder: it is another process, and may be silent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import floor, nan
from pathlib import Path

from pydantic import ValidationError

from beampermit.contract import causes
from beampermit.errors import BadInput, BeampermitError
from beampermit.live.promoted.words import plain, time_of
from beampermit.live.severity import Severity
from beampermit.reading import first_fault, read_json
from beampermit.verdicts.monitoring import CHECKS, MOST_PARTS, Result, Standing

logger = logging.getLogger(__name__)
RESULT = "result.json"
"""In the monitor's folder; written by rename."""
EVERY = 2.0
"""Seconds between two looks."""
MISSED = 3
"""Results that a monitor may miss before nobody relies on its last one."""
GRACE = 60.0
"""Seconds that it may take to judge a window."""
AHEAD = 10.0
"""Seconds that its clock may be ahead."""
MOST_BYTES = 4 * 2**20
UNKNOWN = "no result of monitoring yet"
NOTHING = "the monitor sees nothing in service"
"""Retired, or never promoted: it watches nothing, and has no alarm."""
NOT_JUDGED = "not judged in the last window"
DRIFT = causes.checks_of(causes.DRIFT)
"""The checks whose alarm is drift."""
PATIENCE = 5.0
LATEST = datetime.max.replace(tzinfo=UTC).timestamp() - 86400.0
"""A number in a file may be a time that has no date."""


@dataclass(frozen=True)
class Shown:
    """Of one PV."""

    value: float = nan
    severity: Severity = Severity.INVALID
    message: str = UNKNOWN


@dataclass(frozen=True)
class View:
    """What is true of monitoring now."""

    age: Shown = Shown()
    """Of the last result, in s, with the worst alarm of all checks; it grows while the monitor is silent."""
    drift: Shown = Shown()
    """The largest drift, as part of its limit."""
    checks: dict[str, Shown] = field(default_factory=lambda: dict.fromkeys(CHECKS, Shown()))
    """By id: the worst of each, as part of its limit."""


def monitor_folder(state: Path) -> Path:
    """Where the monitor of a service with this state folder keeps its own, unless it is told otherwise."""
    return state.with_name(f"{state.name}-monitor")


def read_result(folder: Path) -> Result:
    """Raises `BadInput` where there is none, or it is none; `OSError`."""
    file = folder / RESULT
    content = read_json(file, limit=MOST_BYTES)
    try:
        return Result.model_validate(content)
    except ValidationError as error:
        raise BadInput(first_fault(error), file=file) from None


class MonitorResults:
    """The newest result of one model's monitor. A thread reads the file, so that no slow disk delays a cycle."""

    def __init__(self, folder: Path, model: str, clock: Callable[[], float] = time.time):
        self._folder, self._model, self._clock = folder, model, clock
        self._result: Result | None = None
        self._problem = UNKNOWN
        self._seen: tuple[int, int, int] | None = None
        self._made: tuple[object, View] | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read the monitor's results", daemon=True)

    def start(self) -> None:
        self.look()
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread.ident:
            self._thread.join(PATIENCE)

    def look(self) -> None:
        """Read the file where it is another than before. What cannot be believed is said, and no result then."""
        try:
            about = (self._folder / RESULT).stat()
        except OSError:
            seen = None
        else:
            seen = about.st_mtime_ns, about.st_ino, about.st_size
        if seen == self._seen:
            return
        result, problem = self._read() if seen else (None, UNKNOWN)
        if problem != self._problem and seen:
            logger.warning("monitoring: %s", problem)
        self._result, self._problem, self._seen = result, problem, seen

    def view(self, version: int, every: float) -> View:
        """For the `version` in service, whose monitor reports each `every` s. It is made anew once a second: a service
        publishes far more often."""
        result, now = self._result, self._clock()
        about = result, self._problem, version, every, floor(now)
        made = self._made
        if made is None or made[0] != about:
            made = self._made = about, self._view(result, version, every, now)
        return made[1]

    def _view(self, result: Result | None, version: int, every: float, now: float) -> View:
        if result is None:
            return _nothing(Shown(message=self._problem))
        age = now - result.at
        if age < -AHEAD:
            return _nothing(Shown(message=f"the monitor's clock is {-age:.0f} s ahead"))
        late = age > MISSED * every + GRACE
        if late:
            said = f"the monitor is silent for {age:.0f} s"
            return _nothing(Shown(message=said), Shown(age, Severity.MAJOR, said))
        shown_age = Shown(max(age, 0.0), Severity.NO_ALARM, "")
        if result.window.version != version:
            if not result.window.version:
                return _nothing(Shown(message=NOTHING), Shown(shown_age.value, shown_age.severity, NOTHING))
            return _nothing(Shown(message=f"the monitor judged version {result.window.version}"), shown_age)
        standings = _in_force(result, now)
        checks = {check: _worst_of(check, standings) for check in CHECKS}
        return View(_with_worst(shown_age, standings), _drift(result, standings), checks)

    @property
    def age(self) -> float:
        """Of the last result in s; NaN without one."""
        return self._clock() - self._result.at if self._result else nan

    def _read(self) -> tuple[Result | None, str]:
        try:
            result = read_result(self._folder)
        except BeampermitError as error:
            return None, f"its result cannot be read: {plain(error)}"
        except OSError as error:
            return None, f"its result cannot be read: {error.strerror}"
        if result.model != self._model:
            return None, f"the monitor judges {plain(result.model, 60)}, another model"
        return result, ""

    def _run(self) -> None:
        while not self._closed.wait(EVERY):
            try:
                self.look()
            except Exception:
                # A thread that ended would show one result for ever.
                logger.exception("the monitor's result could not be read")
                self._result, self._problem = None, "its result cannot be read"


def _nothing(shown: Shown, age: Shown | None = None) -> View:
    return View(age or shown, shown, dict.fromkeys(CHECKS, shown))


def _in_force(result: Result, now: float) -> list[Standing]:
    """A bypass ends by itself, also while the monitor waits for its next window."""
    ended = {"bypassed_until": None}
    return [
        one.model_copy(update=ended) if one.bypassed_until is not None and one.bypassed_until <= now else one
        for one in result.standings
    ]


def _with_worst(age: Shown, standings: Sequence[Standing]) -> Shown:
    """One PV for an alarm server: of all checks what is worst, and nothing of those that could not be judged.

    Where all that is wrong is bypassed, it is said without an alarm.
    """
    if not standings or (worst := _worst(standings)).level == "NO_ALARM":
        return age
    return Shown(age.value, _severity(worst), f"{worst.reading.check} {_message(worst)}{_hidden(worst, standings)}")


def _drift(result: Result, standings: Sequence[Standing]) -> Shown:
    judged = [one for one in standings if one.reading.check in DRIFT]
    if result.drift is None or not judged:
        return Shown(message=NOT_JUDGED)
    worst = _worst(judged)
    return Shown(min(result.drift, MOST_PARTS), _severity(worst), _message(worst) + _hidden(worst, judged))


def _worst_of(check: str, standings: Sequence[Standing]) -> Shown:
    judged = [one for one in standings if one.reading.check == check]
    if not judged:
        return Shown(message=NOT_JUDGED)
    worst = _worst(judged)
    return Shown(worst.reading.part_of_limit, _severity(worst), _message(worst) + _hidden(worst, judged))


def _worst(standings: Sequence[Standing]) -> Standing:
    """What is bypassed comes after what is not."""
    return max(standings, key=lambda one: (_severity(one), Severity[one.level], one.reading.part_of_limit))


def _severity(standing: Standing) -> Severity:
    return Severity.NO_ALARM if standing.bypassed_until is not None else Severity[standing.level]


def _hidden(worst: Standing, standings: Sequence[Standing]) -> str:
    """Bypassed alarms behind the one that is shown: nobody takes a bypass for all being well."""
    behind = [one for one in standings if one is not worst and one.bypassed_until is not None]
    if not (behind := [one for one in behind if one.level != "NO_ALARM"]):
        return ""
    first = max(behind, key=lambda one: (Severity[one.level], one.reading.part_of_limit))
    name = plain(first.reading.subject, 80) or first.reading.check
    more = f" and {len(behind) - 1} more" if len(behind) > 1 else ""
    return f"; {name} is {first.level}, {_bypassed(first)}{more}"


def _bypassed(standing: Standing) -> str:
    """Such as `bypassed until 2026-11-23T17:00:00Z by Ada`."""
    until = datetime.fromtimestamp(min(standing.bypassed_until or 0.0, LATEST), UTC)
    return f"bypassed until {time_of(until)} by {plain(standing.bypassed_by, 80)}"


def _message(standing: Standing) -> str:
    """The subject first: AMSG in channel access has 39 bytes."""
    reading = standing.reading
    if standing.bypassed_until is not None and standing.level != "NO_ALARM":
        name, why = plain(reading.subject, 80) or reading.check, plain(standing.bypass_reason, 200)
        return f"{_bypassed(standing)}: {why} ({name} is {standing.level})"
    if standing.level == "NO_ALARM":
        return ""
    said = plain(reading.detail, 200)
    return " ".join(filter(None, (plain(reading.subject, 80), said))) or CHECKS.get(reading.check, "")
