"""The examples' monitoring limits: `beampermit backtest` of their recorded operation gives them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.generation import generate
from beampermit.monitoring.backtest.measuring import measure
from beampermit.project import Project
from beampermit.template import template_folder
from support.forked_trainings import script
from support.monitored_log import write_log
from support.trained_project import PEOPLE, python

pytestmark = pytest.mark.slow
OVERLAYS = template_folder() / "{{cookiecutter.project_slug}}/_examples"
RECORD = "from {package} import recorded; recorded.tables.write_table(recorded.recorded(), {out!r})"
INPUTS_ALONE = """
from {package}.pipeline import contract, request, splits, limits, tables
for stage in (contract, request, splits):
    stage.main()
part = contract.of(contract.ForLimits)
rows = tables.read_rows(part.splits[part.reference], part.inputs, part.outputs)
limits.Path(part.limits).parent.mkdir(exist_ok=True)
limits.Path(part.limits).write_text(limits.text(limits.limits(part, rows, {{}})))
"""


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days in processes of their own give the same (tests/unit/monitoring/test_backtest_days.py), and cost more."""
    alone = lambda recording, limits, executor, work, progress: measure(recording, limits, progress)  # noqa: E731
    monkeypatch.setattr("beampermit.monitoring.backtest.days.measure_by_days", alone)


def test_every_example_that_is_monitored_is_calibrated() -> None:
    monitored = {path.parent for path in OVERLAYS.glob("*/contract.yaml") if "\nmonitoring:" in path.read_text()}
    assert {path.name for path in monitored} == {"bpm-faults", "injector-surrogate", "loss-anomaly"}
    for folder in monitored:
        made = json.loads((folder / "calibration.json").read_text())
        assert made["alarms_per_week"] == 0.25
        assert made["data"].startswith("sha256:")
        assert made["alarms"]["of_inputs"]
        assert made["alarms"]["after"]["per_week"] == 0.0


def test_the_limits_of_bpm_faults_are_those_of_the_command(trained_project: Project, tmp_path: Path) -> None:
    out = tmp_path / "recorded.parquet"
    python(trained_project, "-c", RECORD.format(package="bpm_faults", out=str(out)))
    _same(_backtested(trained_project, out, tmp_path / "log"), trained_project)


@pytest.mark.parametrize("example", ["injector-surrogate", "loss-anomaly"])
def test_the_limits_of_other_examples_are_those_of_the_command(
    example: str, environment_prefix: Path, tmp_path: Path
) -> None:
    project = Project(generate(tmp_path, {"example": example, "environment": "uv", **PEOPLE}))
    out, (package,) = project.root / "data/recorded.parquet", (project.root / "src").iterdir()
    text = INPUTS_ALONE.format(package=package.name) + RECORD.format(package=package.name, out=str(out))
    done = script(project, text)
    assert done.code == 0, done.err
    _same(_backtested(project, out, tmp_path / "log"), project)


def _backtested(project: Project, recorded: Path, log: Path) -> dict[str, Any]:
    """What the command says of the inputs of a table, logged as a service does."""
    contract = project.contract
    table = pq.read_table(recorded)
    assert contract.dataset.split.time
    at = table[contract.dataset.split.time].cast("int64").to_numpy() / 1e6
    rows = table.to_pandas()
    order = np.arange(len(rows))
    if contract.signals.devices:
        names = project.path(contract.signals.devices).read_text().split()[1:]
        place = {tuple(name.split(",")[:2]): number for number, name in enumerate(names)}
        of_rows = [place[one] for one in zip(rows["device"], rows["plane"], strict=True)]
        order = np.lexsort((of_rows, at))
    signals = {one.name: np.stack(list(rows[one.name]))[order] for one in contract.signals.inputs}
    signals |= {one.name: np.zeros((len(rows), *one.shape)) for one in contract.signals.outputs}
    write_log(log, contract, project.root, np.unique(at), signals)
    kept = json.loads((project.root / contract.monitoring.calibration).read_text())
    words = ["--from", kept["since"], "--to", kept["until"], "--false-alarms", "1", "--weeks", "4", "--inputs-only"]
    words += ["--no-shifts", "--project", str(project.root), "--work", f"{log}.work", "--json"]
    done = CliRunner().invoke(app, ["backtest", str(log), *words])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def _same(found: dict[str, Any], project: Project) -> None:
    kept = json.loads((project.root / project.contract.monitoring.calibration).read_text())
    assert found["windows"] == kept["windows"]
    assert found["calibrated"]["limits"] == pytest.approx(kept["limits"], rel=0.01)
    assert found["calibrated"]["episodes"] == 0
