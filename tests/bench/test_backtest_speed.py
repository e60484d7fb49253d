"""A backtest of rows at 1 Hz: rows per second and memory, whole and by days. `BEAMPERMIT_BENCH_DAYS=30` for a month."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from beampermit.contract import parse_contract
from beampermit.monitoring import reference
from beampermit.processes import run
from support.monitored_log import write_log

pytestmark = pytest.mark.bench

DAYS = float(os.environ.get("BEAMPERMIT_BENCH_DAYS", "2"))
DAY = 86400
BEGAN = 1_794_960_000.0
INPUTS = ("charge", "phase", "field", "current")
CHILD = """
import json, resource, sys, time
from functools import partial
from pathlib import Path
from beampermit.compute.local import Local
from beampermit.compute.resources import Resources
from beampermit.contract import parse_contract
from beampermit.monitoring.backtest.backtest import backtest
from beampermit.monitoring.backtest.days import measure_by_days
from beampermit.monitoring.backtest.measuring import measure
from beampermit.monitoring.backtest.recorded import Recording, span_of
from beampermit.monitoring.limits import read_limits
root = Path(sys.argv[1])
contract = parse_contract((root / "contract.yaml").read_text())
limits = read_limits(root, contract)
recording = Recording(root / "log", contract, *span_of(root / "log", contract.model.name))
if sys.argv[2] == "whole":
    executor, judge = None, measure
else:
    executor = Local(Resources()).__enter__()
    judge = partial(measure_by_days, executor=executor, work=root / "work")
start = time.perf_counter()
made = backtest(recording, limits, false_alarms=1.0, in_weeks=4.0, judge=judge)
seconds = time.perf_counter() - start
if executor:
    executor.cancel()
memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
print(json.dumps([made.series.rows, made.series.judged, made.now.episodes, seconds, memory]))
"""


def test_a_backtest_at_1_hz(tmp_path: Path, contract_text: str, say: Callable[[str], None]) -> None:
    inputs = [{"name": name, "pv": name.upper(), "unit": "1", "range": [-100, 100]} for name in INPUTS]
    outputs = [{"name": "score", "pv": "SCORE", "unit": "1", "range": [0, 1], "high": 0.9, "default": 1.0}]
    text = yaml.safe_dump({**yaml.safe_load(contract_text), "signals": {"inputs": inputs, "outputs": outputs}})
    (tmp_path / "contract.yaml").write_text(text)
    contract = parse_contract(text)
    usual = _rows(20_000, 0)
    expected: dict[str, tuple[float, float]] = dict.fromkeys(INPUTS, (-100.0, 100.0))
    score = usual.pop("score")
    found = reference.limits(usual, {"score": score}, expected=expected, alarms={"score": (None, 0.9)}, truth={})
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/limits.json").write_text(json.dumps({**found, "split": "validation"}))
    for day in range(round(DAYS)):
        at = BEGAN + day * DAY + np.arange(DAY)
        write_log(tmp_path / "log", contract, tmp_path, at, _rows(DAY, day + 1))
    for way in ("whole", "by days", "by days, again"):
        finished = run([sys.executable, "-c", CHILD, str(tmp_path), way], cwd=tmp_path)
        assert finished.code == 0, finished.err[-3000:]
        rows, windows, episodes, seconds, memory = json.loads(finished.out)
        if way == "whole":
            say(f"{DAYS:g} days at 1 Hz, {len(INPUTS)} inputs: {rows:,} rows, {windows} windows, {episodes} in alarm")
        say(f"{way}: {seconds:.1f} s, {rows / seconds:,.0f} rows/s, at most {memory:.0f} MiB a process")


def _rows(count: int, seed: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {**{name: draw.normal(size=count) for name in INPUTS}, "score": draw.uniform(0, 0.8, count)}
