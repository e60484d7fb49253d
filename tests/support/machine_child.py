"""A machine for the benches of the service: all its PVs change at once, by records that EPICS processes without Python.

    python machine_child.py COUNT LENGTH

It serves `X:0`, `X:1` and so on: scalars where LENGTH is 0, else waveforms of so many values. All hold the number of
the tick, with the time at which the tick began. A line of its input, `RATE SECONDS`, has it tick so often for so long;
it answers with how many ticks there were.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np


def serve(count: int, length: int) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what EPICS prints goes to standard error
    from softioc import asyncio_dispatcher, builder, softioc

    source = builder.WaveformIn("X", length=max(length, 1), datatype=float, TSE="-2", FLNK="X:TICK")
    builder.records.event("X:TICK", VAL="tick")
    # Links take value and time of the tick: in C some microseconds each, in Python a large part of a millisecond.
    taken = {"SCAN": "Event", "EVNT": "tick", "INP": "X", "TSEL": "X.TIME"}
    for number in range(count):
        if length:
            builder.records.waveform(f"X:{number}", NELM=str(length), FTVL="DOUBLE", **taken)
        else:
            builder.records.ai(f"X:{number}", **taken)
    builder.LoadDatabase()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())
    answers.write("ready\n")
    ticks = 0
    for line in sys.stdin:
        rate, seconds = map(float, line.split())
        before, began = ticks, time.monotonic()
        while time.monotonic() - began < seconds:
            ticks += 1
            source.set(np.full(max(length, 1), float(ticks)), timestamp=time.time())
            time.sleep(max(0.0, began + (ticks - before) / rate - time.monotonic()))
        answers.write(f"{ticks - before}\n")
    os._exit(0)  # an IOC has no end of its own


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
