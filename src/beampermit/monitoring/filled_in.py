"""Truth that is filled in behind newer truth, as labels of an older day are: windows of the log that are judged again.

It is seen by the number of rows with a truth in each window. It counts as long as truth may be late, `truth_after`;
what comes after that is counted and said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from beampermit.contract.service import Monitoring
from beampermit.errors import counted
from beampermit.monitoring.quality import MOST_WINDOWS, Truth
from beampermit.monitoring.reference import FEWEST
from beampermit.record import Count, Number, Record


class Seen(Record):
    """The truth of one output that was known when its predictions were judged last. Times are s since 1970."""

    version: Count
    window: Number
    """s."""
    since: Number
    """Where the first window of `rows` begins."""
    until: Number
    """The newest truth."""
    rows: tuple[Count, ...]
    """With a truth, of windows one after another."""
    before: Count
    """Rows before `since`."""
    too_late: Count = 0
    """Rows that did not count, of this version."""


@dataclass(frozen=True)
class FilledIn:
    """What was filled in since `Seen`."""

    seen: Seen
    """After it."""
    ends: tuple[float, ...] = ()
    """Of windows that are judged again, oldest first."""
    few: int = 0
    """Rows in windows that have got too few yet."""

    @property
    def note(self) -> str:
        said = []
        if self.few:
            said.append(f"{counted(self.few, 'row')} filled in behind it wait for more of their window")
        if self.seen.too_late:
            late = counted(self.seen.too_late, "row")
            said.append(f"{late} filled in behind it came later than monitoring.truth_after and did not count")
        return "; ".join(said)


def filled_in(truth: Truth, before: Seen | None, version: int, rule: Monitoring, until: float) -> FilledIn | None:
    """Of one output's truth that is known before `until`; None where there is none. `before` is of the last time."""
    times, newest, window = truth.known_times, truth.newest, rule.window
    if newest == -math.inf:
        return None
    last = math.floor(newest / window)
    low = max(math.floor((until - rule.truth_after) / window), last - MOST_WINDOWS) * window
    since = min(low, last * window)
    if before is None or (before.version, before.window) != (version, window):
        rows, older = _rows(times, since, newest, window), int((times < since).sum())
        return FilledIn(Seen(version=version, window=window, since=since, until=newest, rows=rows, before=older))
    if newest < before.until:  # a clock that was set back, or a table that is being written anew
        return FilledIn(before)
    since = max(since, before.since)
    starts = before.since + window * np.arange(len(before.rows))
    now = np.array(_rows(times[times <= before.until], before.since, before.until, window))
    more = now - np.array(before.rows)
    counts = starts >= low
    again = counts & (more >= FEWEST)
    late = max(int((times < before.since).sum()) - before.before, 0) + int(np.clip(more[~counts], 0, None).sum())
    judged = np.where(again | (more < 0), now, before.rows)
    rows = np.array(_rows(times[times > before.until], since, newest, window))
    kept = judged[starts >= since]
    rows[: len(kept)] += kept
    return FilledIn(
        Seen(
            version=version,
            window=window,
            since=since,
            until=newest,
            rows=tuple(map(int, rows)),
            before=int((times < since).sum()),
            too_late=before.too_late + late,
        ),
        tuple(float(min(start + window, before.until)) for start in starts[again]),
        int(more[counts & (more > 0) & ~again].sum()),
    )


def _rows(times: np.ndarray, since: float, until: float, window: float) -> tuple[int, ...]:
    """How many times each window has, from that which begins at `since` to that which has `until`."""
    number = max(math.floor((until - since) / window) + 1, 1)
    places = np.floor((times - since) / window).astype(int)
    inside = (places >= 0) & (places < number)
    return tuple(map(int, np.bincount(places[inside], minlength=number)))
