"""A training on two nodes of a real SLURM: torchrun meets, and a job that is queued again ends with the same bits."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from beampermit.compute import slurm as ours
from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.compute.team import Team
from beampermit.compute.unit import Unit, prepare, read_intermediate
from beampermit.compute.worker import dealt
from beampermit.environments.environment import VARIABLE, Environment
from beampermit.project import Project
from support.slurm import Slurm, slurm, slurm_session

__all__ = ["slurm", "slurm_session"]
pytestmark = pytest.mark.slow
EPOCHS = 12
TRIAL = "bpm_faults.pipeline.trial"


@pytest.fixture
def tree(trained_project: Project, tmp_path: Path) -> Path:
    """The project, with a checkpoint after each epoch and time to see that."""
    tree = tmp_path / "tree"
    shutil.copytree(trained_project.root / "src", tree / "src")
    for name in ("contract.yaml", "params.yaml", "data"):
        (tree / name).symlink_to(trained_project.root / name)
    for file, sound, changed in (
        ("processes.py", "EVERY = 10.0", "EVERY = -1.0"),
        (
            "trial.py",
            "        if self.rank == 0 and",
            "        __import__('time').sleep(0.2)\n        if self.rank == 0 and",
        ),
    ):
        path = tree / "src/bpm_faults/pipeline" / file
        assert sound in path.read_text()
        path.write_text(path.read_text().replace(sound, changed))
    return tree


def test_a_job_that_is_queued_again_goes_on_where_it_was(
    slurm: Slurm, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ASK", "ASK_SELDOM", "OVER"):
        monkeypatch.setattr(ours, name, 0.5)
    train = {**yaml.safe_load((tree / "params.yaml").read_text())["train"], "epochs": EPOCHS}
    request = {"parameters": {}, "params": {"train": train}, "scores": True}
    environment = Environment(Path(os.environ[VARIABLE]))
    unit = Unit("the training", TRIAL, request, tree=tree, environment=environment, team=True)
    (tmp_path / "work").mkdir()
    folder = unit.folder(tmp_path / "work")
    ended_at: list[int] = []

    def progress(step: str, done: int = 0, total: int = 0, /) -> None:
        if not ended_at and len(seen := read_intermediate(folder)) > 3:
            slurm("scancel", "--signal=USR2", slurm("squeue", "--noheader", "--format=%i").strip())
            ended_at.append(max(seen))

    resources = Resources(nodes=2, time=600.0)
    with open_executor("slurm", resources, tmp_path / "work") as executor:
        (ended,) = perform_all(iter([unit]), executor, tmp_path / "work", progress)
    assert ended.result, ended.reason
    steps = [json.loads(line)["step"] for line in (folder / "intermediate.jsonl").read_text().splitlines()]
    assert ended_at
    assert steps.count(1) == 1, "begun again, it did not go on"
    assert set(steps) == set(range(1, EPOCHS + 1))
    assert not (folder / "checkpoint.pt").exists()
    here = alone(unit, tmp_path / "here", environment)
    assert ended.result["machine"]["processes"] == here["machine"]["processes"] == 2
    assert ended.result["curve"] == here["curve"]
    assert (folder / "scores.parquet").read_bytes() == (tmp_path / "here/scores.parquet").read_bytes()


def alone(unit: Unit, folder: Path, environment: Environment) -> dict[str, Any]:
    """What two processes of this machine make of it at one go."""
    prepare(unit, folder)
    assert unit.tree
    for entry in unit.tree.iterdir():
        (folder / entry.name).symlink_to(entry)
    variables = {**environment.clean_variables(unit.tree), **dealt(1)}
    run = Team(gpus=2).run(environment.python, unit.module, variables, folder, 0.0, lambda: False)
    assert run.code == 0, (folder / "log.txt").read_text()
    return json.loads((folder / "result.json").read_text())


def test_a_team_ends_when_it_is_asked_to(tree: Path, tmp_path: Path, environment_prefix: Path) -> None:
    (tree / "src/sleeps.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(1000)\n")
    environment = Environment(environment_prefix)
    unit = Unit("sleeps", "sleeps", {}, tree=tree, environment=environment, team=True)
    for seconds, closed, ended in ((4.0, False, "time"), (0.0, False, "stopped")):
        folder = tmp_path / ended
        prepare(unit, folder)
        began = time.monotonic()
        if ended == "stopped":
            (folder / "stop").touch()
        variables = {**environment.clean_variables(tree), **dealt(1)}
        run = Team(gpus=2).run(environment.python, "sleeps", variables, folder, seconds, lambda closed=closed: closed)
        assert run.ended == ended
        assert time.monotonic() - began < 60
