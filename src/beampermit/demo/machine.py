"""The machine of the demo: a soft IOC that plays the project's own table, acquisition after acquisition.

It runs in a process of its own, `python -m beampermit.demo.machine TABLE CONTRACT_FOLDER`, since an IOC cannot be
stopped. A line of its input names a PV that turns NaN; an empty line ends that.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from beampermit.contract import FILE_NAME, load_contract
from beampermit.datasets.tables import connect, parquet, quoted
from beampermit.live.wiring import Wiring, wire

EVERY = 0.2
"""Seconds between two acquisitions."""


def acquisitions(wiring: Wiring, table: Path) -> Iterator[dict[int, list[float]]]:
    """Number of a PV -> its samples, for each acquisition of the table, over and over."""
    waveform, columns = wiring.inputs[0], wiring.devices.columns
    row_of = {device: row for row, device in enumerate(wiring.devices.values)}
    names = ", ".join(quoted(name) for name in ("acquisition", *columns, waveform.signal.name))
    played: dict[str, dict[int, list[float]]] = {}
    query = f"SELECT {names} FROM {parquet(table)} ORDER BY acquisition"  # noqa: S608 - quoted
    for acquisition, *device, values in connect().execute(query).fetchall():
        row = row_of.get(tuple(device))
        if row is not None:
            played.setdefault(acquisition, {})[waveform.of_row[row]] = values
    yield from itertools.cycle(played.values())


def play(wiring: Wiring, table: Path) -> None:
    """Serve the first input of the wiring until the process ends."""
    from softioc import asyncio_dispatcher, builder, softioc

    (waveform, *_) = wiring.inputs
    records = {
        pv: builder.WaveformIn(pv, length=int(np.prod(waveform.signal.shape)), EGU=waveform.signal.unit)
        for pv in waveform.pvs
    }
    builder.LoadDatabase()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())
    broken: set[str] = set()
    threading.Thread(target=_listen, args=(broken,), daemon=True).start()
    for acquisition in acquisitions(wiring, table):
        now = time.time()
        for number, values in acquisition.items():
            pv = waveform.pvs[number]
            records[pv].set(np.full(len(values), np.nan) if pv in broken else np.array(values), timestamp=now)
        time.sleep(EVERY)


def _listen(broken: set[str]) -> None:
    for line in sys.stdin:
        broken.clear()
        broken.update(line.split())


if __name__ == "__main__":
    root = Path(sys.argv[2])
    play(wire(load_contract(root / FILE_NAME), root), Path(sys.argv[1]))
