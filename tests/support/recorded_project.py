"""A project whose model is monitored, and what was recorded of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from beampermit.contract import load_contract
from beampermit.monitoring import reference
from beampermit.project import Project
from support.monitored_log import write_log

NOW = 1_794_960_000.0
"""2026-11-18 00:00 UTC."""


@pytest.fixture
def recorded(project: Project, tmp_path: Path) -> Callable[..., Path]:
    """A project of two numbers with limits, and a log of them for so many hours, which is added to with each call.

    `after` hours; rows are so many s apart. Inputs are `moved` by so much; other columns are replaced.
    """
    contract = project.root / "contract.yaml"
    signals = {
        "inputs": [
            {"name": "current", "pv": "C", "unit": "mA", "range": [-100, 100]},
            {"name": "field", "pv": "F", "unit": "T", "range": [-100, 100]},
        ],
        "outputs": [{"name": "score", "pv": "S", "unit": "1", "range": [0, 1], "high": 0.9, "default": 1.0}],
    }
    contract.write_text(yaml.safe_dump({**yaml.safe_load(contract.read_text()), "signals": signals}))
    expected = {"current": (-100.0, 100.0), "field": (-100.0, 100.0)}
    rows = values(2000, 1)
    score = rows.pop("score")
    found = reference.limits(rows, {"score": score}, expected=expected, alarms={"score": (None, 0.9)}, truth={})
    (project.root / "metrics").mkdir(exist_ok=True)
    (project.root / "metrics/limits.json").write_text(json.dumps({**found, "split": "validation"}))

    def made(hours: float, *, after: float = 0.0, apart: float = 30.0, version: int = 1, **moved: Any) -> Path:
        at = np.arange(NOW + after * 3600, NOW + (after + hours) * 3600, apart)
        rows = {name: column + moved.pop(name, 0) for name, column in values(len(at), 2).items()}
        contract = load_contract(project.root)
        return write_log(tmp_path / "log", contract, project.root, at, rows, version, **moved)

    return made


def values(rows: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    current = random.normal(0, 1, rows)
    return {"current": current, "field": current + random.normal(0, 0.3, rows), "score": random.uniform(0, 0.8, rows)}
