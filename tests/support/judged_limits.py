"""A project whose monitoring limits OPS001 judges, and what a pull request does to them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beampermit.contract import load_contract
from beampermit.files import write_json
from beampermit.interlocks.operations import OPS001
from beampermit.interlocks.runner import check
from beampermit.monitoring.limits import read_limits
from beampermit.project import Project
from beampermit.verdicts.evidence import LimitChanges, LimitChecks
from beampermit.verdicts.verdict import Verdict
from support.monitored import content_of, drawn, monitored_contract, monitored_text

ROWS = 240
SPLIT, LIMITS, CALIBRATION = "data/dataset/validation.parquet", "metrics/limits.json", "calibration.json"


@pytest.fixture(scope="session")
def monitored_once(contract_repository: Path, contract_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of `monitored`, to be copied."""
    root = shutil.copytree(contract_repository, tmp_path_factory.mktemp("monitored") / "project")
    (root / "contract.yaml").write_text(monitored_text(contract_text))
    inputs = drawn(ROWS)
    inputs["turns"] = inputs["turns"].astype(np.float32)
    write_split(root, inputs)
    write_json(root / LIMITS, content_of(inputs, monitored_contract(contract_text)))
    git = Project(root).git
    git("add", "--all")
    git("commit", "--quiet", "--message", "The first limits")
    git("switch", "--quiet", "--create", "change")
    return root


@pytest.fixture
def monitored(project: Project, monitored_once: Path) -> Project:
    """A project with a reference split and its limits, committed on `main`; this is a branch `change`."""
    shutil.rmtree(project.root)
    shutil.copytree(monitored_once, project.root)
    return Project(project.root, base="main")


def write_split(root: Path, inputs: dict[str, np.ndarray]) -> None:
    (root / SPLIT).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: pa.array(list(values)) for name, values in inputs.items()}), root / SPLIT)


def judge(project: Project) -> Verdict:
    return check(Project(project.root, base="main"), [OPS001])[0]


def change(project: Project, edit: Callable[[dict[str, Any]], Any]) -> Verdict:
    """The verdict of an edited file of limits."""
    content = json.loads((project.root / LIMITS).read_text())
    edit(content)
    write_json(project.root / LIMITS, content)
    return judge(project)


def calibrate(project: Project, **limits: float) -> Verdict:
    """The verdict with a calibration; `MON001_current=0.5`."""
    usual = {"format": 1, "since": "2026-10-01", "until": "2026-11-01", "windows": 4000, "alarms_per_week": 0.2}
    of = {key.replace("_", " ", 1).replace("__", "."): limit for key, limit in limits.items()}
    write_json(project.root / CALIBRATION, {**usual, "limits": of})
    return judge(project)


def backtested(project: Project, **limits: float) -> Verdict:
    """The verdict with a calibration that says, as `beampermit backtest --write` does, what was counted."""
    contract, rate = load_contract(project.root), {"per_week": 1.4, "low": 0.66, "high": 2.7}
    before = read_limits(project.root, contract).digest
    calibrate(project, **limits)
    after = read_limits(project.root, contract).digest
    alarms = {"weeks": 4.3, "before": rate, "after": {"per_week": 0.0, "low": 0.0, "high": 0.7}}
    content = json.loads((project.root / CALIBRATION).read_text())
    content["alarms"] = {**alarms, "limits_before": before, "limits_after": after}
    write_json(project.root / CALIBRATION, content)
    return judge(project)


def changes_of(verdict: Verdict) -> LimitChanges | None:
    assert isinstance(verdict.evidence, LimitChecks)
    return verdict.evidence.changes


def merged(git: Callable[..., str]) -> None:
    """What is there now is on the base branch, too."""
    git("add", "--all")
    git("commit", "--quiet", "--message", "Merged")
    git("branch", "--force", "main")


def of_current(content: dict[str, Any]) -> dict[str, Any]:
    return content["inputs"]["current"]["numbers"]["current"]
