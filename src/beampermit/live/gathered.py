"""Which inputs have come for the rows that are to be made: one that is late for a shot is not early for the next."""

from __future__ import annotations

from math import inf, isfinite, nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beampermit.live.wiring import Wiring

Place = tuple[int, int]
"""Number of an input, and of its PV."""


class Gathered:
    """Inputs that have changed since the rows before; of a shot or an event, those that are of its time.

    An input is, where it is older by no more than `within`, in s. Without that, where its time is nearer to this shot
    than to the one before: so it plays no part which of them arrives first, and one that is late once is not taken for
    the next shot.
    """

    def __init__(self, wiring: Wiring, within: float | None):
        self._all = frozenset((number, pv) for number, wire in enumerate(wiring.inputs) for pv in range(len(wire.pvs)))
        self._within = within
        self._times: dict[Place, float] = {}
        self._missing = set(self._all)
        self._oldest = -inf
        self._shot = nan
        """The time of the last shot or event."""
        self._late: set[Place] = set()
        self._late_oldest = inf

    @property
    def complete(self) -> bool:
        return not self._missing

    def take(self, place: Place, at: float) -> bool:
        """A sample of the time `at`, s since 1970. Whether a row before has waited for it and was made without."""
        self._times[place] = at
        if not at < self._oldest:
            self._missing.discard(place)
        if place not in self._late or at < self._late_oldest:
            return False
        self._late.discard(place)
        return True

    def see(self, shot: float) -> float:
        """A shot or an event has come, whether rows are made of it or not. Gives the time of the one before it."""
        before = self._shot
        if isfinite(shot):
            self._shot = shot
        return before

    def begin(self, shot: float, before: float) -> None:
        """Rows are to be made of a shot or an event of the time `shot`; the last one was `before`: s since 1970, NaN
        where it has no time, or there was none.
        """
        if not isfinite(shot):
            return
        if self._within is not None:
            self._oldest = shot - self._within
        else:
            self._oldest = (shot + before) / 2 if isfinite(before) else shot
        self._missing = {place for place in self._all if self._times.get(place, -inf) < self._oldest}

    def clear(self) -> None:
        """Rows are made of what there is."""
        asked_for = self._within is not None and isfinite(self._oldest)  # else rows are answered without
        self._late, self._late_oldest = (self._missing, self._oldest) if asked_for else (set(), inf)
        self._times.clear()
        self._missing, self._oldest = set(self._all), -inf
