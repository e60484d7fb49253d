"""The source `epics`: PVs over PVA and CA, each subscribed once, for all inputs that read it."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING

from beampermit.live.epics.addresses import Address, parse_address
from beampermit.live.epics.feed import Feed, InputReader, Reader, SnapshotReader
from beampermit.live.extra import require_live

if TYPE_CHECKING:
    from beampermit.live.epics.channel_access import ChannelAccess
    from beampermit.live.epics.pv_access import PvAccess
    from beampermit.live.latest import Latest
    from beampermit.live.trigger import Trigger
    from beampermit.live.wiring import Wiring

logger = logging.getLogger(__name__)
PVA_FIRST = 1.0
"""Seconds that PVA has for a PV that both protocols may serve, before CA is asked too: it says more of an alarm."""
LOOK = 0.25
"""Seconds after which the PVs are looked at although nothing has changed."""
PATIENCE = 10.0
"""Seconds that the thread has to end."""


class EpicsInputs:
    """One thread asks for PVs and leaves them again; samples are written by the threads of p4p and libca."""

    def __init__(self) -> None:
        self._changed, self._stop = threading.Event(), threading.Event()
        self._feeds: list[Feed] = []
        self._thread = threading.Thread(target=self._run, name="inputs", daemon=True)

    def start(self, latest: Latest, wiring: Wiring, trigger: Trigger) -> None:
        """Raises `BadInput` without the extra `live`, or for a name that is none."""
        require_live()
        self._feeds = self._made_feeds(latest, wiring, trigger)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._changed.set()
        if self._thread.ident:
            self._thread.join(PATIENCE)

    def _made_feeds(self, latest: Latest, wiring: Wiring, trigger: Trigger) -> list[Feed]:
        readers: dict[Address, list[Reader]] = defaultdict(list)
        for number, wire in enumerate(wiring.inputs):
            for place, pv in enumerate(wire.pvs):
                address = parse_address(pv)
                readers[address._replace(column="")].append(InputReader(latest, number, place, address.column))
        if trigger.snapshot:
            readers[parse_address(trigger.snapshot)._replace(column="")].append(
                SnapshotReader(trigger, trigger.snapshot)
            )
        return [Feed(name, protocols, those, self._changed.set) for (name, protocols, _), those in readers.items()]

    def _run(self) -> None:
        try:
            self._serve()
        except Exception:
            logger.exception("the PVs are not read any more")
            for reader in [reader for feed in self._feeds for reader in feed.readers]:
                reader.lose()

    def _serve(self) -> None:
        """Until `close`. p4p and libca are started and ended by the same thread."""
        from beampermit.live.epics.channel_access import ChannelAccess
        from beampermit.live.epics.pv_access import PvAccess

        with closing(PvAccess()) as pva, closing(ChannelAccess(self._changed.set)) as ca:
            while not self._stop.is_set():
                self._changed.clear()
                self._tend(pva, ca)
                self._changed.wait(LOOK)

    def _tend(self, pva: PvAccess, ca: ChannelAccess) -> None:
        now = time.monotonic()
        for feed in self._feeds:
            for client in (pva, ca):
                if _wanted(feed, client.protocol, now):
                    client.ask(feed)
                else:
                    client.leave(feed)
        pva.tend()
        ca.tend()


def _wanted(feed: Feed, protocol: str, now: float) -> bool:
    """Whether a PV is asked for by this protocol: by that which answers, or by both while none does."""
    if protocol not in feed.protocols:
        return False
    if feed.answering:
        return feed.answering == protocol
    return protocol == feed.protocols[0] or now - feed.silent_since > PVA_FIRST
