"""Monitoring: an hour of 500 signals at 15 Hz; and false alarms and delay, beside fixed limits, river and evidently."""

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
RIVER = """
from river import drift
def fed(make):
    def alarms(live):
        detector = make()
        for value in usual.tolist():
            detector.update(value)
        for start in range(0, len(live), WINDOW):
            found = False
            for value in live[start : start + WINDOW].tolist():
                detector.update(value)
                found = found or detector.drift_detected
            yield [found]
    return alarms
each = [(["river ADWIN"], fed(drift.ADWIN)), (["river PageHinkley"], fed(drift.PageHinkley))]
"""
EVIDENTLY = """
import warnings
warnings.filterwarnings("ignore")
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift
names = ["evidently, its default", "evidently psi", "evidently ks"]
def dataset(values):
    of = DataDefinition(numerical_columns=["x"])
    return Dataset.from_pandas(pd.DataFrame({"x": values}), data_definition=of)
def alarms(live):
    before = dataset(usual)
    metrics = [ValueDrift(column="x"), ValueDrift(column="x", method="psi"), ValueDrift(column="x", method="ks")]
    for start in range(0, len(live), WINDOW):
        made = Report(metrics, include_tests=True).run(dataset(live[start : start + WINDOW]), before).dict()
        yield [one["status"] == "FAIL" for one in made["tests"]]
each = [(names, alarms)]
"""
JUDGE = """
import json, sys
import numpy as np
WINDOW = int(sys.argv[2])
usual, live = np.load(sys.argv[1] + "/usual.npy"), np.load(sys.argv[1] + "/live.npy")
{each}
for names, alarms in each:
    false = np.sum([*alarms(live)], axis=0)
    seen = dict.fromkeys(names)
    for number, found in enumerate(alarms(live + 0.5), 1):
        seen |= {{name: number for name, alarm in zip(names, found) if alarm and seen[name] is None}}
        if None not in seen.values():
            break
    for name, count in zip(names, false):
        print(json.dumps([name, int(count), seen[name]]))
"""
OTHERS = {
    "river": (("river==0.26.1",), RIVER, WINDOWS),
    "evidently": (("evidently==0.7.23", "pandas<3"), EVIDENTLY, 100),  # a report takes half a second
}
"""Name -> what is installed, what it does, and how many windows it judges."""


@pytest.mark.parametrize("kind", MEMORIES)
@pytest.mark.parametrize("whose", ["beampermit", *OTHERS])
def test_false_alarms_and_delay(whose: str, kind: str, tmp_path: Path, say: Callable[[str], None]) -> None:
    """Of one signal: windows in alarm without drift, and windows until a shift of half a sigma is seen."""
    stream = _stream(WINDOW * WINDOWS + REFERENCE, MEMORIES[kind])
    usual, live = stream[:REFERENCE], stream[REFERENCE:]
    if whose in OTHERS:
        windows, rows = OTHERS[whose][2], _others(whose, usual, live, tmp_path)
    else:
        windows, rows = WINDOWS, _judged(usual, live)
    for name, false, first in rows:
        seen = f"half a sigma seen in window {first or 'none'}"
        say(f"{kind}, {name}: {1000 * false / windows:.0f} of 1,000 windows ({windows} judged); {seen}")


def _judged(usual: np.ndarray, live: np.ndarray) -> Iterator[tuple[str, int, int | None]]:
    for name, alarms in _ours(usual):
        first = next((number for number, alarm in enumerate(alarms(live + 0.5), 1) if alarm), None)
        yield name, sum(alarms(live)), first


def _others(whose: str, usual: np.ndarray, live: np.ndarray, folder: Path) -> Iterator[tuple[str, int, int | None]]:
    """In an environment of its own, for these packages want other versions than ours."""
    packages, each, windows = OTHERS[whose]
    np.save(folder / "usual.npy", usual)
    np.save(folder / "live.npy", live[: windows * WINDOW])
    uv = [Path(sys.executable).with_name("uv"), "run", "--quiet", "--no-project", "--python", sys.executable]
    command = [*uv, *(word for one in packages for word in ("--with", one)), "python", "-c", JUDGE.format(each=each)]
    finished = run([*command, str(folder), str(WINDOW)], cwd=folder)
    if finished.code:
        pytest.skip(f"{whose} cannot be installed or run here: {finished.err.strip().splitlines()[-1]}")
    yield from (json.loads(line) for line in finished.out.splitlines() if line.startswith("["))


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
