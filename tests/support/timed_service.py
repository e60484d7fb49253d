"""What the benches of the service share: a model and its contract, the machine, who reads it, and a client.

names = scalars(folder, contract_text, 100)
with machine(epics, 100) as posts, service(epics, folder), watching("SCORE") as seen:
    posts(10.0, 20.0)
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from support.epics import Network, until
from support.planted_processes import asked_contract
from support.tiny_model import saved

HERE = Path(__file__).parent
TENSOR = '{"name": "%s", "type": "tensor", "tensor-spec": {"dtype": "float64", "shape": %s}}'
WIDE = {"unit": "1", "range": (-1e9, 1e9)}
GATHER = 1.0
"""Seconds: a row is made when all PVs have changed, and what is replaced before is counted."""
PATIENCE = 120.0


def scalars(folder: Path, text: str, count: int) -> None:
    """The mean of so many scalars, one row."""
    inputs = ", ".join(TENSOR % (f"x{number}", "[-1]") for number in range(count))
    result = 'pd.DataFrame({"score": np.mean(list(model_input.values()), axis=0)})'
    serving = saved(folder / "model", inputs=f"[{inputs}]", result=result) / "serving.py"
    serving.write_text(serving.read_text().replace('turns = np.stack(list(model_input["turns"]))', "pass"))
    declared = [{"name": f"x{number}", "pv": f"pva://X:{number}", **WIDE} for number in range(count)]
    _declare(folder, text, {"inputs": declared, "outputs": [{"name": "score", "pv": "SCORE", **WIDE}]})


def waveforms(folder: Path, text: str, count: int, length: int) -> None:
    """The mean of each of so many waveforms, a batch."""
    saved(folder / "model", inputs=f"[{TENSOR % ('turns', f'[-1, {length}]')}]")
    (folder / "devices.csv").write_text("device\n" + "".join(f"{number}\n" for number in range(count)))
    turns = {"name": "turns", "pv": "pva://X:{device}", "shape": [length], **WIDE}
    score = {"name": "score", "pv": "S:{device}", **WIDE}
    _declare(folder, text, {"inputs": [turns], "outputs": [score], "devices": "devices.csv"})


def _declare(folder: Path, text: str, signals: dict[str, Any]) -> None:
    serving = {"timeout": PATIENCE, "prefix": "BENCH", "gather": GATHER}
    contract = asked_contract(text, signals=signals, fallback={"on_invalid": "invalid"}, serving=serving)
    (folder / "contract.yaml").write_text(contract.model_dump_json(exclude_none=True))


@dataclass
class Process:
    """A child that is told lines."""

    child: subprocess.Popen[str]

    @property
    def seen(self) -> psutil.Process:
        return psutil.Process(self.child.pid)

    def tell(self, line: str) -> None:
        assert self.child.stdin
        self.child.stdin.write(f"{line}\n")
        self.child.stdin.flush()

    def answer(self) -> str:
        assert self.child.stdout
        return self.child.stdout.readline()


@contextmanager
def running(network: Network, script: str, *words: str) -> Iterator[Process]:
    # What a killed process leaves behind goes with the folder.
    with network.place() as place, TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        child = subprocess.Popen(
            [sys.executable, HERE / script, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**network.server(place), "TMPDIR": scratch},
            text=True,
        )
        try:
            yield Process(child)
        finally:
            child.kill()
            child.wait()


class Machine(Process):
    def post(self, rate: float, seconds: float) -> int:
        """All PVs, so often; gives how many times."""
        self.tell(f"{rate} {seconds}")
        return int(self.answer())


@contextmanager
def machine(network: Network, count: int, length: int = 0) -> Iterator[Machine]:
    with running(network, "machine_child.py", str(count), str(length)) as process:
        assert process.answer() == "ready\n"
        yield Machine(process.child)


Seen = list[tuple[float, float, float]]
"""Time of arrival, time of the value and value, of each good update."""


@contextmanager
def watching(pv: str) -> Iterator[Seen]:
    """A client's updates, until the block ends."""
    from p4p.client.thread import Context

    seen: Seen = []

    def take(value: Any) -> None:
        if value.severity < 3:
            seen.append((time.time(), value.timestamp, float(value)))

    with Context("pva") as client, client.monitor(pv, take):
        yield seen


@contextmanager
def hearing(pvs: list[str]) -> Iterator[list[float]]:
    """Seconds from each tick until a client that does nothing else has it of all PVs."""
    from p4p import Value
    from p4p.client.raw import Context, Subscription

    ages: list[float] = []
    heard: Counter[float] = Counter()

    def hear(subscription: Subscription) -> None:
        while (event := subscription.pop()) is not None:
            if not isinstance(event, Value):
                continue
            heard[tick := event["value"]] += 1
            if heard[tick] == len(pvs):
                at = event["timeStamp.secondsPastEpoch"] + event["timeStamp.nanoseconds"] * 1e-9
                ages.append(time.time() - at)

    client = Context("pva", useenv=True, nt=False)
    subscriptions: dict[str, Subscription] = {}
    for pv in pvs:
        # It may be called before the subscription is ours; the next update calls it again.
        subscriptions[pv] = client.monitor(pv, lambda pv=pv: pv in subscriptions and hear(subscriptions[pv]))
    try:
        yield ages
    finally:
        for subscription in subscriptions.values():
            subscription.close()
        client.close()


def post_until_seen(posting: Machine, pv: str) -> None:
    """Until a client sees a good value."""

    def good() -> bool:
        posting.post(5.0, 0.5)
        return read(pv, lambda value: value.severity < 3)

    until(good, PATIENCE)
    posting.post(5.0, 2.0)


def read(pv: str, what: Callable[[Any], Any] = float) -> Any:
    """Of a PV that may not be there yet; then it is None."""
    from p4p.client.thread import Context

    with Context("pva") as client:
        try:
            return what(client.get(pv, timeout=5.0))
        except TimeoutError:
            return None


def spent(process: psutil.Process) -> dict[str, float]:
    """Seconds of CPU of each kind of thread, by the names that EPICS libraries and Python give them."""
    found: dict[str, float] = {}
    for thread in process.threads():
        try:
            name = Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text().strip()
        except OSError:
            continue  # it has ended
        found[name] = found.get(name, 0.0) + thread.user_time + thread.system_time
    return found
