"""One thread asks for PVs and leaves them again; samples come from the threads of p4p and libca."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import closing

from beampermit.live.epics.addresses import Protocol
from beampermit.live.epics.channel_access import ChannelAccess
from beampermit.live.epics.feed import Feed
from beampermit.live.epics.pv_access import PvAccess

logger = logging.getLogger(__name__)
PVA_FIRST = 1.0
"""Seconds that PVA has for a PV that both protocols may serve, before CA is asked too: it says more of an alarm."""
LOOK = 0.25
"""Seconds after which the PVs are looked at although nothing has changed."""
PATIENCE = 10.0
"""Seconds that the thread has to end."""


class Subscriptions:
    """Of some PVs, from here until `close`. `changed` is set where a feed has something to look at."""

    def __init__(self, feeds: Sequence[Feed], changed: threading.Event):
        self._feeds, self._changed = feeds, changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inputs", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._changed.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        try:
            self._serve()
        except Exception:
            logger.exception("PVs are not read any more")
            for reader in [reader for feed in self._feeds for reader in feed.readers]:
                reader.lose()

    def _serve(self) -> None:
        """Until `close`. p4p and libca are started and ended by the same thread."""
        with closing(PvAccess()) as pva, closing(ChannelAccess(self._changed.set)) as ca:
            while not self._stop.is_set():
                self._changed.clear()
                self._tend(pva, ca)
                self._changed.wait(LOOK)

    def _tend(self, pva: PvAccess, ca: ChannelAccess) -> None:
        now = time.monotonic()
        for feed in self._feeds:
            for client in (pva, ca):
                if wanted(feed, client.protocol, now):
                    client.ask(feed)
                else:
                    client.leave(feed)
            if feed.answering and not feed.fresh(now):
                (pva if feed.answering == "pva" else ca).read(feed)
        pva.tend()
        ca.tend()


def wanted(feed: Feed, protocol: Protocol, now: float) -> bool:
    """Whether a PV is asked for by this protocol: by that which answers, or by both while none does."""
    if protocol not in feed.protocols:
        return False
    if feed.answering:
        return feed.answering == protocol
    return protocol == feed.protocols[0] or now - feed.silent_since > PVA_FIRST
