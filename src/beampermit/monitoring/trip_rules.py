"""When readings become alarms: m of n windows, delays, hysteresis. Nothing here looks at a clock or a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated

from pydantic import Field

from beampermit.contract.service import Monitoring
from beampermit.live.severity import Severity
from beampermit.record import Count, Number, Record
from beampermit.verdicts.monitoring import Level, Reading, Standing, Trip, Window

CANNOT_JUDGE = "MON008"
"""Its alarm is INVALID: nobody knows how the model is."""
LEVELS: tuple[Level, ...] = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
"""Worst last."""
MOST_WINDOWS = 100
"""As many as a contract may count."""
TOLD = ("told", "told_since", "ended")
"""What of `Judged` trips have told."""
NOT_A_NUMBER = "the reading, or its limit, is no number from 0 on"


class Latch(Record):
    """Whether windows are beyond one threshold: on after m of n, off after so many good ones in a row."""

    on: bool = False
    beyond: Annotated[tuple[bool, ...], Field(max_length=MOST_WINDOWS)] = ()
    """Of the last windows, oldest first."""
    good: Count = 0
    """Windows in a row that were good again."""
    turning: Number | None = None
    """Since when it would be the other way, but for the delay; s since 1970."""


class Ended(Record):
    """An alarm that trips told of, as raised and as cleared."""

    since: Number
    until: Number


class Judged(Record):
    """What is kept of a check and subject. There is a latch for each level but the first."""

    reading: Reading
    since: Number
    until: Number
    """The end of the last window that was counted."""
    latches: Annotated[tuple[Latch, ...], Field(min_length=3, max_length=3)] = (Latch(), Latch(), Latch())
    told: Level = "NO_ALARM"
    """The worst level of the alarm that a trip told of."""
    told_since: Number | None = None
    """The time in that trip's name."""
    ended: Annotated[tuple[Ended, ...], Field(max_length=MOST_WINDOWS)] = ()
    """Of what arrives late, in the order in which they were told: more truth of those times tells of them no more."""

    @property
    def level(self) -> Level:
        on = [number for number, latch in enumerate(self.latches, 1) if latch.on]
        return LEVELS[on[-1] if on else 0]


class RuleState(Record):
    """Of one version of a model; between windows it is kept as a file."""

    version: Count = 0
    until: Number | None = None
    """The end of the last window that was counted."""
    judged: tuple[Judged, ...] = ()


class Outcome(Record):
    """What a window makes of the state before it."""

    state: RuleState
    standings: tuple[Standing, ...]
    """Worst first: of all that was judged in this window, or is in alarm since an earlier one."""
    trips: tuple[Trip, ...]


@dataclass(frozen=True)
class Bypassed:
    """Somebody takes it upon himself that an alarm is not raised until a time, s since 1970."""

    until: float
    by: str
    reason: str


def never(_: Reading) -> Bypassed | None:
    """Nothing is bypassed."""


@dataclass(frozen=True)
class TripRules:
    """`rule` is the contract's; `bypass` says of a reading whether its alarm is bypassed now."""

    model: str
    rule: Monitoring
    bypass: Callable[[Reading], Bypassed | None] = never

    def judge(
        self, before: RuleState, readings: Sequence[Reading], window: Window, filled_in: Sequence[Reading] = ()
    ) -> Outcome:
        """Alarms after a window.

        A window that ends less than half of `every` after the last one is shown, and does not count: whoever asks often
        raises no alarm by that. What was not judged now stays as it is, for without rows nobody knows that it is good
        again. With another version, all begins anew and what was in alarm is cleared. What is told of an alarm that is
        bypassed is told when the bypass ends.

        Several readings of a check and subject, oldest first, are of windows whose truth arrived together: an alarm
        that began and ended meanwhile is told as raised and as cleared, and it began when that truth was.

        `filled_in` are of windows that were judged before much of their truth was known, oldest first. They may raise
        an alarm, and clear none: that it was well an older day says nothing of now. One that they raise, and that is
        over by those windows or newer ones, is told as raised and as cleared. What was told of a time is not told
        again for more truth about it.
        """
        fresh = before.version != window.version
        known = {} if fresh else {one.reading.key: one for one in before.judged}
        elapsed = math.inf if fresh or before.until is None else window.until - before.until
        counts = abs(elapsed) >= self.rule.every / 2  # a clock that was set back says nothing of how much time went by
        judged, trips, now = dict(known), list[Trip | None](), {reading.key for reading in readings}
        for key, late in groupby(sorted(map(sound, filled_in), key=lambda one: one.key), key=lambda one: one.key):
            for one, until in _behind(judged.get(key), [*late], self.rule):
                told = {name: getattr(judged[key], name) for name in TOLD} if key in judged else {}
                judged[key], trip = self._tell(one.model_copy(update=told), window, until)
                trips.append(trip)
        for reading in map(sound, readings):
            at = window.until if reading.newest is None else reading.newest
            one = _next(judged.get(reading.key), reading, at, self.rule if counts else None)
            judged[reading.key], trip = self._tell(one, window)
            trips.append(trip)
        for key in judged.keys() - now:
            judged[key], trip = self._tell(judged[key], window)
            trips.append(trip)
        after = RuleState(
            version=window.version, until=window.until if counts else before.until, judged=tuple(judged.values())
        )
        standings = [self._standing(one) for key, one in judged.items() if key in now or one.level != LEVELS[0]]
        ended = [
            _cleared(self.model, before.version, one, window)
            for one in before.judged
            if fresh and one.told != LEVELS[0]
        ]
        standings.sort(key=_worst_first)
        return Outcome(state=after, standings=tuple(standings), trips=(*ended, *filter(None, trips)))

    def _tell(self, judged: Judged, window: Window, ended: float | None = None) -> tuple[Judged, Trip | None]:
        """`ended` is when an alarm ended that is cleared: at first since when it is well."""
        level, told = Severity[judged.level], Severity[judged.told]
        if told and not level:
            trip = _cleared(self.model, window.version, judged, window)
            after = judged.model_copy(update={"told": LEVELS[0], "told_since": None})
            if judged.reading.newest is None:
                return after, trip
            one = Ended(since=trip.standing.since, until=judged.since if ended is None else ended)
            return after.model_copy(update={"ended": (*judged.ended, one)[-MOST_WINDOWS:]}), trip
        if level <= told or self.bypass(judged.reading):
            return judged, None
        since = judged.since if judged.told_since is None else judged.told_since
        standing = Standing(reading=judged.reading, level=judged.level, since=since)
        trip = Trip(model=self.model, version=window.version, standing=standing, window=window)
        return judged.model_copy(update={"told": judged.level, "told_since": since}), trip

    def _standing(self, judged: Judged) -> Standing:
        standing = Standing(reading=judged.reading, level=judged.level, since=judged.since)
        bypassed = self.bypass(judged.reading)
        if bypassed is None:
            return standing
        said = {"bypassed_until": bypassed.until, "bypassed_by": bypassed.by, "bypass_reason": bypassed.reason}
        return standing.model_copy(update=said)


def sound(reading: Reading) -> Reading:
    """A reading that can be compared: whatever is no number counts as one that nobody could take (`unknown`)."""
    numbers = (reading.value, reading.limit, reading.usual, reading.most or 0.0)
    if all(map(math.isfinite, numbers)) and reading.limit >= 0:
        return reading
    return Reading(check=reading.check, subject=reading.subject, value=0.0, limit=0.0, detail=NOT_A_NUMBER)


def _forgetting(judged: Judged) -> Judged:
    """So much time has gone by that the windows before say nothing of now; what is in alarm stays so."""
    latches = tuple(Latch(on=latch.on) for latch in judged.latches)
    return judged.model_copy(update={"latches": latches})


def _next(before: Judged | None, reading: Reading, until: float, rule: Monitoring | None) -> Judged:
    """`rule` is None where the window does not count."""
    late, known = reading.newest, before.reading.newest if before else None
    if late is not None and late == known:
        rule = None
    if before is None:
        before = Judged(reading=reading, since=until, until=until)
    if rule and late is None and until - before.until > rule.of * rule.every + rule.window:
        before = _forgetting(before)
    minor, major, invalid = before.latches
    if rule:
        unknown = reading.detail == NOT_A_NUMBER or (reading.check == CANNOT_JUDGE and reading.exceeded)
        if not unknown:
            minor = _turned(minor, *_compared(reading, 1.0, rule), until, rule)
            major = _turned(major, *_compared(reading, rule.major, rule), until, rule)
        invalid = _turned(invalid, unknown, not unknown, until, rule)
    counted = until if rule else before.until
    reading = reading if rule else reading.model_copy(update={"newest": known})  # it is yet to be counted
    after = before.model_copy(update={"reading": reading, "until": counted, "latches": (minor, major, invalid)})
    turned = (before.level == LEVELS[0]) != (after.level == LEVELS[0])
    # A clock that was set back leaves no alarm that began in the future.
    return after.model_copy(update={"since": until if turned else min(before.since, until)})


def _behind(before: Judged | None, readings: Sequence[Reading], rule: Monitoring) -> Iterator[tuple[Judged, float]]:
    """What windows of older truth make of an alarm that is not so bad yet, and how it was, where that is over, with the
    time up to which they were in alarm: m of n among themselves, for the windows since then are counted already.
    Nothing where they raise nothing that was not told.
    """
    if before is None:
        began, until = readings[0].newest or 0.0, readings[-1].newest or 0.0
        before = Judged(reading=readings[-1], since=began, until=until)
    found = [
        (one, until)
        for one, until in _alarms(readings, rule)
        if Severity[one.level] > Severity[before.level] and not _was_told(before, one.since, until, rule)
    ]
    well = before.level == LEVELS[0]
    for one, until in found if well else found[:1]:  # an alarm that is on gets worse once
        both = zip(before.latches, one.latches, strict=True)
        latches = tuple(Latch(on=True) if late.on and not now.on else now for now, late in both)
        # Up to when truth was judged is not set back.
        reading = one.reading.model_copy(update={"newest": before.reading.newest})
        since = one.since if well else min(before.since, one.since)
        yield before.model_copy(update={"reading": reading, "latches": latches, "since": since}), until
        if well and (until < (readings[-1].newest or 0.0) or _was_good(before, until, rule)):
            yield before, until


def _alarms(readings: Sequence[Reading], rule: Monitoring) -> Iterator[tuple[Judged, float]]:
    """The alarms that windows raise by themselves, each at its worst, with the time of its last window in alarm."""
    one, worst, until = None, None, 0.0
    for reading in readings:
        one = _next(one, reading, reading.newest or 0.0, rule)
        if one.level != LEVELS[0]:
            worst = one if worst is None or Severity[one.level] > Severity[worst.level] else worst
            until = one.until
        elif worst:
            yield worst, until
            worst = None
    if worst:
        yield worst, until


def _was_told(judged: Judged, since: float, until: float, rule: Monitoring) -> bool:
    """Whether an alarm of that time was told, and is over: by other windows it may be a few of them off."""
    return any(one.since - rule.of * rule.window < until and since < one.until + rule.window for one in judged.ended)


def _was_good(judged: Judged, since: float, rule: Monitoring) -> bool:
    """Whether an alarm that was on at that time would have been cleared by the windows since then."""
    gone = (judged.reading.newest or since) - since
    windows = min(judged.latches[0].good, math.floor(gone / rule.window))
    return windows >= rule.clear_after and gone >= (rule.delay_off or 0.0)


def _compared(reading: Reading, times: float, rule: Monitoring) -> tuple[bool, bool]:
    """Whether it is beyond so many times its limit, and whether it is good again."""
    threshold = reading.threshold(times)
    usual = min(reading.usual, threshold)  # limits of recorded data may lie below what was usual in the reference
    return reading.value > threshold, reading.value <= usual + (threshold - usual) * rule.clear_below


def _turned(latch: Latch, beyond: bool, good: bool, until: float, rule: Monitoring) -> Latch:
    history = (*latch.beyond, beyond)[-rule.of :]
    calm = latch.good + 1 if good else 0
    turns = calm >= rule.clear_after if latch.on else sum(history) >= rule.raise_after
    delay = (rule.delay_off if latch.on else rule.delay_on) or 0.0
    since = min(until if latch.turning is None else latch.turning, until) if turns else None
    if since is None or until - since < delay:
        return Latch(on=latch.on, beyond=history, good=calm, turning=since)
    # Windows that were bad before an alarm was cleared do not raise it again.
    return Latch(on=not latch.on, beyond=() if latch.on else history)


def _worst_first(standing: Standing) -> tuple[float, ...]:
    reading = standing.reading
    return -Severity[standing.level], -reading.part_of_limit, int(reading.check[3:])


def _cleared(model: str, version: int, judged: Judged, window: Window) -> Trip:
    since = judged.since if judged.told_since is None else judged.told_since
    standing = Standing(reading=judged.reading, level=LEVELS[0], since=since)
    return Trip(model=model, version=version, standing=standing, window=window, cleared=True)
