"""Monitoring: an hour of 500 signals at 15 Hz; and false alarms and delay, beside fixed limits and river."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from beampermit.contract import Contract, parse_contract
from beampermit.monitoring import reference
from beampermit.processes import run
from support.monitored_log import write_log

pytestmark = pytest.mark.bench

SIGNALS, RATE, HOUR = 500, 15, 3600
BEGAN = 1_800_000_000
CHILD = """
import json, os, resource, sys, time
from pathlib import Path
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `beampermit monitor` does
from beampermit.contract import parse_contract
from beampermit.monitoring.limits import read_limits
from beampermit.monitoring.readings import readings
from beampermit.monitoring.windows import read_window
import duckdb, pyarrow.parquet
def peak():  # in MiB; getrusage has that of the process that started this one, where that is larger
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
root, since, until = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
contract = parse_contract((root / "contract.yaml").read_text())
limits = read_limits(root, contract)
before, memory = resource.getrusage(resource.RUSAGE_SELF), peak()
start = time.perf_counter()
window = read_window(root / "log", contract, since, until)
middle = time.perf_counter()
found = readings(window, limits, contract)
end = time.perf_counter()
after = resource.getrusage(resource.RUSAGE_SELF)
used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(json.dumps([len(window), len(found), middle - start, end - middle, used, peak() - memory]))
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> Path:
    """A log of an hour, with the limits of 2,000 rows."""
    root = tmp_path_factory.mktemp("monitored")
    contract = _contract(contract_text)
    (root / "contract.yaml").write_text(yaml.safe_dump(contract.model_dump(mode="json", exclude_none=True)))
    names = [signal.name for signal in contract.signals.inputs]
    draw = np.random.default_rng(0)
    usual = {name: draw.normal(size=2000) for name in names}
    spans = dict.fromkeys(names, (-9.0, 9.0))
    content = reference.limits(usual, {"score": draw.uniform(size=2000)}, expected=spans, alarms={}, truth={})
    limits = root / contract.monitoring.limits
    limits.parent.mkdir()
    limits.write_text(json.dumps({"split": "validation", **content}))
    rows = RATE * HOUR
    signals = {**{name: draw.normal(size=rows) for name in names}, "score": draw.uniform(size=rows)}
    write_log(root / "log", contract, root, BEGAN + np.arange(rows) / RATE, signals, version=3)
    return root


def test_a_window_of_an_hour(recorded: Path, say: Callable[[str], None]) -> None:
    for minutes in (15, 30, 60):
        arguments = [sys.executable, "-c", CHILD, recorded, str(BEGAN), str(BEGAN + 60 * minutes)]
        finished = run(arguments, cwd=recorded)
        assert finished.code == 0, finished.err
        rows, found, read, judged, used, memory = json.loads(finished.out)
        size = rows * SIGNALS * 8 / 2**20
        say(
            f"{minutes} min, {SIGNALS} signals at {RATE} Hz: read {read:.2f} s, {found} readings {judged:.2f} s,"
            f" {used:.2f} s of CPU, {memory:.0f} MiB for {size:.0f} MiB of numbers"
        )


WINDOW, WINDOWS, REFERENCE = 1000, 1000, 20_000
MEMORIES = {"independent": 0.0, "AR(1) 0.99": 0.99}


@pytest.mark.parametrize("kind", MEMORIES)
def test_false_alarms_and_delay(kind: str, say: Callable[[str], None]) -> None:
    """Of one signal: windows of 1,000 in alarm without drift, and windows until a shift of half a sigma is seen."""
    stream = _stream(WINDOW * WINDOWS + REFERENCE, MEMORIES[kind])
    usual, live = stream[:REFERENCE], stream[REFERENCE:]
    for name, alarms in (*_ours(usual), *_river()):
        false = np.count_nonzero([*alarms(live)])
        first = next((number for number, alarm in enumerate(alarms(live + 0.5), 1) if alarm), None)
        say(f"{kind}, {name}: {false} of {WINDOWS} windows; half a sigma seen in window {first or 'none'}")


def _ours(usual: np.ndarray) -> Iterator[tuple[str, Any]]:
    content = reference.limits({"x": usual}, {}, expected={"x": (-99.0, 99.0)}, alarms={}, truth={})
    of = content["inputs"]["x"]["numbers"]["x"]
    edges, shares = np.array(of["edges"]), np.array(of["shares"])

    def beyond(limit: float) -> Callable[[np.ndarray], Iterator[bool]]:
        return lambda live: (
            reference.stability(shares, reference.counts_of(edges, live[start : start + WINDOW]), content["window"])
            > limit
            for start in range(0, len(live), WINDOW)
        )

    def two_of_three(live: np.ndarray) -> Iterator[bool]:
        last: list[bool] = []
        for one in beyond(of["limit"])(live):
            last = [*last[-2:], one]
            yield sum(last) >= 2

    yield f"beampermit (limit {of['limit']:.3g})", beyond(of["limit"])
    yield "beampermit, two of three windows", two_of_three
    yield "the same index with the limit 0.1", beyond(0.1)
    yield "the same index with the limit 0.25", beyond(0.25)


def _river() -> Iterator[tuple[str, Any]]:
    try:
        from river import drift  # pyright: ignore[reportMissingImports]
    except ImportError:
        pytest.skip("river is not installed: pip install river")

    def fed(make: Callable[[], Any]) -> Callable[[np.ndarray], Iterator[bool]]:
        def alarms(live: np.ndarray) -> Iterator[bool]:
            detector = make()
            for value in _stream(REFERENCE, 0.0).tolist():
                detector.update(value)
            for start in range(0, len(live), WINDOW):
                found = False
                for value in live[start : start + WINDOW].tolist():
                    detector.update(value)
                    found = found or detector.drift_detected
                yield found

        return alarms

    yield "river ADWIN", fed(drift.ADWIN)
    yield "river PageHinkley", fed(drift.PageHinkley)


def _stream(rows: int, memory: float) -> np.ndarray:
    found = np.random.default_rng(5).normal(0, np.sqrt(1 - memory**2), rows)
    for row in range(1, rows if memory else 0):
        found[row] += memory * found[row - 1]
    return found


def _contract(text: str) -> Contract:
    usual = yaml.safe_load(text)
    inputs = [
        {"name": f"x{number}", "pv": f"RING:X{number}", "unit": "mm", "range": [-9, 9]} for number in range(SIGNALS)
    ]
    outputs = [{"name": "score", "pv": "RING:FAULT", "unit": "1", "range": [0, 1]}]
    signals = {"inputs": inputs, "outputs": outputs}
    return parse_contract(yaml.safe_dump({**usual, "signals": signals, "fallback": {"on_invalid": "invalid"}}))
