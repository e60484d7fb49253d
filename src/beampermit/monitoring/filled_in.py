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
    """Where the first window of `rows` begins: the end of the one before."""
    until: Number
    """The newest truth."""
    rows: tuple[Count, ...]
    """With a truth, of windows one after another."""
    before: Count
    """Rows of the windows before."""
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

    def note(self, of: str = "") -> str:
        """In words; `of` is the output, where there are several."""
        rows, said = f"{f' of {of}' if of else ''} filled in behind newer truth", []
        if self.few:
            said.append(f"{counted(self.few, 'row')}{rows} wait for more of their window")
        if late := self.seen.too_late:
            said.append(f"{counted(late, 'row')}{rows} came later than monitoring.truth_after and did not count")
        return "; ".join(said)


def filled_in(
    truth: Truth, before: Seen | None, version: int, rule: Monitoring, until: float, judged: float
) -> FilledIn | None:
    """Of one output's truth that is known before `until`; None where there is none. `before` is of the last time.

    Windows that end after `judged` had too few rows then, and are judged with newer truth, whatever fills them.
    A window that has fewer rows than before had them, for a table that is being written may be read in part: what was
    judged is not judged again when they are back.
    """
    times, newest, window = truth.known_times, truth.newest, rule.window
    if newest == -math.inf:
        return None
    own = _places(times, rule)
    last, oldest = _places(np.array([newest, until - rule.truth_after]), rule)
    low = max(oldest, last - MOST_WINDOWS)
    first = min(low, last)
    if before is None or _otherwise(before, version, rule):
        rows, older = _rows(own, first, last), int((own < first).sum())
        since = float(first * window)
        return FilledIn(Seen(version=version, window=window, since=since, until=newest, rows=(*rows,), before=older))
    if newest < before.until:  # a clock that was set back, or a table that is being written anew
        return FilledIn(before)
    began, newer = round(before.since / window), times > before.until
    places, had = began + np.arange(len(before.rows)), np.array(before.rows)
    now = np.array(_rows(own[~newer], began, began + len(had) - 1))
    more, older = now - had, int((own < began).sum())
    pending = np.minimum((places + 1) * window, before.until) > judged
    counts = (places >= low) & ~pending
    again = counts & (more >= FEWEST)
    late = max(older - before.before, 0) + int(np.clip(more[~counts & ~pending], 0, None).sum())
    # What came too late is said once; only what waits for more is compared with what was known before.
    kept = np.where(again | ~counts, np.maximum(now, had), had)
    first = max(first, began)
    rows, still = np.array(_rows(own[newer], first, last)), places >= first
    rows[: still.sum()] += kept[still]
    known = int((own < first).sum())
    if (more < 0).any():  # else the oldest rows were taken out, as a table that rolls on does
        known = max(known, before.before + int(kept[~still].sum()))
    return FilledIn(
        Seen(
            version=version,
            window=window,
            since=float(first * window),
            until=newest,
            rows=tuple(map(int, rows)),
            before=known,
            too_late=before.too_late + late,
        ),
        tuple(float(min((place + 1) * window, before.until)) for place in places[again]),
        int(more[counts & (more > 0) & ~again].sum()),
    )


def _otherwise(before: Seen, version: int, rule: Monitoring) -> bool:
    """Whether it was counted of another version, or by other windows."""
    if (before.version, before.window) != (version, rule.window):
        return True
    (last,) = _places(np.array([before.until]), rule)
    return len(before.rows) != last - round(before.since / rule.window) + 1


def _places(times: np.ndarray, rule: Monitoring) -> np.ndarray:
    """Numbers of the windows in which the log's rows of these times are compared: a window has its end in it, and
    reaches `truth_within` further, as `compare_windows` has it.
    """
    return np.ceil((times - rule.truth_within) / rule.window).astype(int) - 1


def _rows(places: np.ndarray, first: int, last: int) -> tuple[int, ...]:
    """How many of them each window has, from the first to the last one."""
    inside = (places >= first) & (places <= last)
    return tuple(map(int, np.bincount(places[inside] - first, minlength=last - first + 1)))
