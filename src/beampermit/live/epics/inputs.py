"""The source `epics`: PVs over PVA and CA, each subscribed once, for all inputs that read it."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from beampermit.live.epics.addresses import Address, parse_address
from beampermit.live.epics.feed import Feed, InputReader, Reader, SnapshotReader
from beampermit.live.extra import require_live

if TYPE_CHECKING:
    from beampermit.live.epics.subscriptions import Subscriptions
    from beampermit.live.latest import Latest
    from beampermit.live.trigger import Trigger
    from beampermit.live.wiring import Wiring


class EpicsInputs:
    """Where PVs are found is said by EPICS' own variables, such as `EPICS_CA_ADDR_LIST` and `EPICS_PVA_ADDR_LIST`."""

    def __init__(self) -> None:
        self._subscriptions: Subscriptions | None = None

    def start(self, latest: Latest, wiring: Wiring, trigger: Trigger) -> None:
        """Returns before PVs are connected. Raises `BadInput` without the extra `live`, or for a name that is none."""
        require_live()
        from beampermit.live.epics.subscriptions import Subscriptions

        changed = threading.Event()
        readers = _readers(latest, wiring, trigger)
        feeds = [Feed(pv.name, pv.protocols, those, changed.set) for pv, those in readers.items()]
        self._subscriptions = Subscriptions(feeds, changed)

    def close(self) -> None:
        if self._subscriptions:
            self._subscriptions.close()


def _readers(latest: Latest, wiring: Wiring, trigger: Trigger) -> dict[Address, list[Reader]]:
    """PV, which may be a table -> who reads it."""
    readers: dict[Address, list[Reader]] = defaultdict(list)
    for number, wire in enumerate(wiring.inputs):
        for place, pv in enumerate(wire.pvs):
            address, signal = parse_address(pv), wire.signal
            reader = InputReader(latest, number, place, address.column, signal.stale_after, words=bool(signal.words))
            readers[address.whole].append(reader)
    if trigger.snapshot:
        readers[parse_address(trigger.snapshot).whole].append(SnapshotReader(trigger, trigger.snapshot))
    return readers
