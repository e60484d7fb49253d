"""Which PVs somebody serves already."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import closing

from beampermit.errors import Outside
from beampermit.live.epics.addresses import Protocol
from beampermit.live.epics.feed import Feed
from beampermit.live.epics.sample import Sample
from beampermit.live.extra import require_live

PROTOCOLS: tuple[Protocol, ...] = ("pva", "ca")
EACH = 0.001
"""Seconds more for each PV: CA sends the names of thousands a few packets at a time."""
PATIENCE = 60.0
"""Seconds in which all PVs must have been asked for."""


def living(pvs: Sequence[str], timeout: float = 2.0) -> list[str]:
    """Those of `pvs` that answer by PVA or CA: a record of this name would be a second one.

    They have `timeout` s for it once all were asked for, and `EACH` for each PV. Returns earlier only where all of them
    answer: that nobody does is known at the end. Raises `Outside` where they cannot be asked for.
    """
    require_live()
    from beampermit.live.epics.subscriptions import Subscriptions

    answered, changed = set[str](), threading.Event()
    feeds = [Feed(pv, (protocol,), [_Ear(pv, answered)], changed.set) for pv in pvs for protocol in PROTOCOLS]
    with closing(Subscriptions(feeds, changed)) as subscriptions:
        if not subscriptions.asked.wait(PATIENCE):
            raise Outside(f"whether somebody serves these PVs could not be asked within {PATIENCE:g} s")
        end = time.monotonic() + timeout + EACH * len(pvs)
        while len(answered) < len(set(pvs)) and time.monotonic() < end:
            time.sleep(0.02)
    return [pv for pv in pvs if pv in answered]


class _Ear:
    """Notes that a PV answers."""

    fresh_for = float("inf")
    words = False

    def __init__(self, pv: str, answered: set[str]):
        self._pv, self._answered = pv, answered

    def take(self, sample: Sample) -> None:  # noqa: ARG002 - it answers, whatever it says
        self._answered.add(self._pv)

    def refuse(self, words: str) -> None:  # noqa: ARG002 - the same
        self._answered.add(self._pv)

    def lose(self) -> None:
        """It has answered, and that is all that is asked."""

    def fail(self, words: str) -> None:
        """That we cannot ask is no answer."""
