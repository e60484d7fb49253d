"""From an input's post to a client's callback, beside the same path without the service; how much goes through it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from support.epics import Ioc, Network, epics, soft_ioc, until
from support.planted_models import THIS_ENVIRONMENT
from support.planted_processes import asked_contract
from support.tiny_model import saved

__all__ = ["epics"]
pytestmark = pytest.mark.bench
Say = Callable[[str], None]
SECONDS = float(os.environ.get("BENCH_SECONDS", "600"))
"""Of the long one."""
SERVICE = f"""\
import sys, threading
from pathlib import Path
from beampermit.contract import load_contract
from beampermit.environments import Environment
from beampermit.live.epics.inputs import EpicsInputs
from beampermit.live.epics.records import Records
from beampermit.live.loop import Loop, Standing
from beampermit.live.process.model_process import ModelProcess
from beampermit.live.wiring import wire
root = Path(sys.argv[1])
contract = load_contract(root)
wiring = wire(contract, root)
model = ModelProcess(
    Environment(Path({str(THIS_ENVIRONMENT.prefix)!r})), root / "model", contract,
    rows=len(wiring.rows), on_ready=lambda: loop.trigger.fire(),
)
loop = Loop(contract, wiring, model, Standing(1, "sha256:bench"), lambda update: records.publish(update))
records = Records(contract, wiring, loop.limits, "sha256:bench", model.restart)
model.start()
EpicsInputs().start(loop.latest, wiring, loop.trigger)
loop.run(threading.Event())
"""
PLAIN = """\
import sys, threading
import mlflow.pyfunc, numpy as np
from p4p.client.thread import Context
from softioc import asyncio_dispatcher, builder, softioc
model = mlflow.pyfunc.load_model(sys.argv[1] + "/model", suppress_warnings=True)
score = builder.aIn("SCORE", TSE="-2")
builder.LoadDatabase()
softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())
values, times, fresh, ready = {}, {}, set(), threading.Event()
names = sys.argv[2].split()
def heard(name):
    def callback(value):
        values[name], times[name] = float(value), value.timestamp
        fresh.add(name)
        if len(fresh) == len(names):
            ready.set()
    return callback
client = Context("pva")
watched = [client.monitor(name, heard(name)) for name in names]
while True:
    ready.wait()
    ready.clear()
    fresh.clear()
    given = {f"x{number}": np.array([values[name]]) for number, name in enumerate(names)}
    score.set(float(model.predict(given)["score"].iloc[0]), timestamp=max(times.values()))
"""
SCALAR = '{"name": "x%d", "type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}'


def scalars(folder: Path, text: str, count: int) -> list[str]:
    """Make a model of so many scalars and its contract in `folder`; gives the PVs."""
    inputs = f"[{', '.join(SCALAR % number for number in range(count))}]"
    result = 'pd.DataFrame({"score": np.mean(list(model_input.values()), axis=0)})'
    serving = saved(folder / "model", inputs=inputs, result=result) / "serving.py"
    serving.write_text(serving.read_text().replace('turns = np.stack(list(model_input["turns"]))', "pass"))
    signal = {"unit": "1", "range": (-1e9, 1e9)}
    names = [f"X:{number}" for number in range(count)]
    declared = [{"name": f"x{number}", "pv": name, **signal} for number, name in enumerate(names)]
    signals = {"inputs": declared, "outputs": [{"name": "score", "pv": "SCORE", **signal}]}
    contract = asked_contract(text, signals=signals, fallback={"on_invalid": "invalid"})
    (folder / "contract.yaml").write_text(contract.model_dump_json(exclude_none=True))
    return names


@contextmanager
def running(network: Network, script: str, *words: str) -> Iterator[psutil.Process]:
    with network.place() as place:
        process = subprocess.Popen([sys.executable, "-c", script, *words], env=network.server(place))
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()


@contextmanager
def watching(pv: str) -> Iterator[list[tuple[float, float, float]]]:
    """Time of arrival, time of the value and value, of each good update."""
    from p4p.client.thread import Context

    seen: list[tuple[float, float, float]] = []

    def take(value: Any) -> None:
        if value.severity < 3:
            seen.append((time.time(), value.timestamp, float(value)))

    with Context("pva") as client, client.monitor(pv, take):
        yield seen


def post(ioc: Ioc, names: list[str], rate: float, seconds: float) -> int:
    """All PVs, `rate` times a second; gives how often."""
    period, began, count = 1 / rate, time.monotonic(), 0
    while time.monotonic() - began < seconds:
        count += 1
        ioc.set_all({name: float(count + number) for number, name in enumerate(names)}, timestamp=time.time())
        time.sleep(max(0.0, began + count * period - time.monotonic()))
    return count


def test_a_hundred_scalars_at_ten_hertz(say: Say, epics: Network, tmp_path: Path, contract_text: str) -> None:
    names = scalars(tmp_path, contract_text, 100)
    found = {}
    for what, script, words in (("plain", PLAIN, (" ".join(names),)), ("service", SERVICE, ())):
        with soft_ioc(epics, dict.fromkeys(names, 0.0)) as ioc, running(epics, script, str(tmp_path), *words):
            beating = threading.Event()
            thread = threading.Thread(target=lambda: post_until(ioc, names, beating), daemon=True)  # noqa: B023
            thread.start()
            until_seen("SCORE")
            beating.set()
            thread.join()
            with watching("SCORE") as seen:
                posted = post(ioc, names, 10.0, 20.0)
                time.sleep(0.5)
            found[what] = np.array([arrived - at for arrived, at, _ in seen[5:]]) * 1000
            p50, p99 = np.percentile(found[what], [50, 99])
            say(f"{what}: {len(seen)} of {posted} updates, p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    ratio = np.median(found["service"]) / np.median(found["plain"])
    say(f"from the post of 100 PVs to the client: {ratio:.2f} times the plain path at p50 (aim: at most 1.5)")


def test_five_hundred_pvs_at_fifteen_hertz(say: Say, epics: Network, tmp_path: Path, contract_text: str) -> None:
    names = scalars(tmp_path, contract_text, 500)
    with soft_ioc(epics, dict.fromkeys(names, 0.0)) as ioc, running(epics, SERVICE, str(tmp_path)) as service:
        beating = threading.Event()
        thread = threading.Thread(target=lambda: post_until(ioc, names, beating), daemon=True)
        thread.start()
        until_seen("SCORE")
        beating.set()
        thread.join()
        before, cpu = service.memory_info().rss, sum(service.cpu_times()[:2])
        with watching("SCORE") as seen:
            posted = post(ioc, names, 15.0, SECONDS)
            time.sleep(0.5)
        dropped = read("BPM-FAULTS:DROPPED")
        grown = (service.memory_info().rss - before) / 2**20
        used = (sum(service.cpu_times()[:2]) - cpu) / SECONDS
        say(
            f"500 PVs at 15 Hz for {SECONDS:g} s: {len(seen)} of {posted} rows answered, {dropped:g} samples replaced, "
            f"{used:.2f} of a core, {grown:+.1f} MiB"
        )


def post_until(ioc: Ioc, names: list[str], stop: threading.Event) -> None:
    while not stop.is_set():
        post(ioc, names, 5.0, 0.5)


def until_seen(pv: str) -> None:
    def good() -> bool:
        from p4p.client.thread import Context

        with Context("pva") as client:
            try:
                return client.get(pv, timeout=2.0).severity < 3
            except TimeoutError:
                return False

    until(good, 120.0)


def read(pv: str) -> float:
    from p4p.client.thread import Context

    with Context("pva") as client:
        return float(client.get(pv, timeout=10.0))
