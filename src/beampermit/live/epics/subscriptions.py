"""One thread asks for PVs and leaves them again; samples come from the threads of p4p and libca."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress

from beampermit.live.epics.addresses import Protocol
from beampermit.live.epics.channel_access import ChannelAccess
from beampermit.live.epics.feed import Feed
from beampermit.live.epics.pv_access import PvAccess

logger = logging.getLogger(__name__)
PVA_FIRST = 1.0
"""Seconds that PVA has for a PV that both protocols may serve, before CA is asked too: it says more of an alarm."""
LOOK = 0.25
"""Seconds after which the PVs are looked at although nothing has changed."""
AGAIN = 5.0
"""Seconds after which what cannot be read is asked for anew."""
PATIENCE = 10.0
"""Seconds that the thread has to end."""


class Subscriptions:
    """Of some PVs, from here until `close`. `changed` is set where a feed has something to look at."""

    def __init__(self, feeds: Sequence[Feed], changed: threading.Event):
        self._feeds, self._changed = feeds, changed
        self.asked = threading.Event()
        """Set once all PVs were asked for."""
        self._failed: dict[Feed, str] = {}
        """Why PVs cannot be read, as it was logged; until they can."""
        self._not_before: dict[Feed, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inputs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._changed.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        """Whatever goes wrong, PVs are read again: without, the outputs would stay INVALID until somebody looks."""
        while not self._stop.is_set():
            try:
                self._serve()
            except Exception as error:
                self._fail(self._feeds, error)
                self._stop.wait(AGAIN)

    def _serve(self) -> None:
        """Until `close`. p4p and libca are started and ended by the same thread."""
        with closing(PvAccess()) as pva, closing(ChannelAccess(self._changed.set)) as ca:
            while not self._stop.is_set():
                self._changed.clear()
                now = time.monotonic()
                for feed in self._feeds:
                    if now >= self._not_before.get(feed, now):
                        self._tend(feed, pva, ca, now)
                ca.flush()
                self.asked.set()
                self._changed.wait(LOOK)

    def _tend(self, feed: Feed, pva: PvAccess, ca: ChannelAccess, now: float) -> None:
        """One PV that cannot be read leaves the others."""
        try:
            for client in (pva, ca):
                if wanted(feed, client.protocol, now):
                    client.ask(feed)
                else:
                    client.leave(feed)
                client.tend(feed)
            if feed.answering and not feed.fresh(now):
                (pva if feed.answering == "pva" else ca).read(feed)
        except Exception as error:
            for client in (pva, ca):
                with suppress(Exception):
                    client.leave(feed)
            self._fail([feed], error)
            self._not_before[feed] = now + AGAIN
            return
        if feed.answering and feed.silent_since < feed.arrived:
            self._failed.pop(feed, None)

    def _fail(self, feeds: Sequence[Feed], error: Exception) -> None:
        """No value, and one line in the log until it is another error, or they were read meanwhile."""
        why = type(error).__name__
        for feed in feeds:
            feed.fail(f"no value: the service cannot read it ({why})")
        new = [feed for feed in feeds if self._failed.get(feed) != why]
        self._failed |= dict.fromkeys(new, why)
        if new:
            others = f", and {len(new) - 1} more PVs," if new[1:] else ""
            logger.error("%s%s cannot be read", new[0].name, others, exc_info=error)


def wanted(feed: Feed, protocol: Protocol, now: float) -> bool:
    """Whether a PV is asked for by this protocol: by that which answers, or by both while none does."""
    if protocol not in feed.protocols:
        return False
    if feed.answering:
        return feed.answering == protocol
    return protocol == feed.protocols[0] or now - feed.silent_since > PVA_FIRST
