"""The way from PVs to a client without the service: p4p monitors, the model in this process, softioc.

    python plain_child.py FOLDER COUNT LENGTH

It reads `X:0`, `X:1` and so on as `machine_child.py` serves them. Of scalars it makes one row and sets `SCORE`; of
waveforms a batch, and sets `S:0`, `S:1` and so on.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import mlflow.pyfunc
import numpy as np
from p4p.client.thread import Context
from softioc import asyncio_dispatcher, builder, softioc


def play(folder: str, count: int, length: int) -> None:
    model = mlflow.pyfunc.load_model(f"{folder}/model", suppress_warnings=True)
    outputs = [builder.aIn(f"S:{number}" if length else "SCORE", TSE="-2") for number in range(count if length else 1)]
    builder.LoadDatabase()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())
    values: list[Any] = [None] * count
    times, fresh, ready = [0.0] * count, set[int](), threading.Event()

    def heard(number: int) -> Callable[[Any], None]:
        def callback(value: Any) -> None:
            values[number], times[number] = np.array(value) if length else float(value), value.timestamp
            fresh.add(number)
            if len(fresh) == count:
                ready.set()

        return callback

    client = Context("pva")
    watched = [client.monitor(f"X:{number}", heard(number)) for number in range(count)]
    while watched:
        ready.wait()
        ready.clear()
        fresh.clear()
        given = {"turns": np.stack(values)} if length else {f"x{n}": np.array([one]) for n, one in enumerate(values)}
        newest = max(times)
        for record, score in zip(outputs, model.predict(given)["score"], strict=True):
            record.set(float(score), timestamp=newest)


if __name__ == "__main__":
    play(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
