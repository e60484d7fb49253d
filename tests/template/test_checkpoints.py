"""A training that is killed and begun again ends with the weights of one that never was, bit by bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from beampermit.project import Project
from support.filled_projects import project_to_read
from support.forked_trainings import Job, forked, team

pytestmark = pytest.mark.slow
EPOCHS, KILLED = 4, 2
COMMON = """
import hashlib, importlib, json, os, signal, sys
from pathlib import Path

package, here, places = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
of = lambda name: importlib.import_module(f"{package}.{name}")
for stage in places["stages"]:
    of(stage).main()
model, contract, train, processes = of("model"), of("pipeline.contract"), of("pipeline.train"), of("pipeline.processes")
processes.EVERY = places["every"]
FILE = here / "checkpoint.pt"
import torch
processes.Processes.report = lambda *_: torch.rand(3)  # as a layer of dropout draws

class Killed(processes.Processes):
    def keep(self, curve, *state):
        super().keep(curve, *state)
        if len(curve) == places["killed"] and self.rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def rows():
    return train.train_and_held_out(contract.of(contract.ForTraining))

def fitted(team):
    params = contract.params("train", model.Training).model_copy(update={"epochs": places["epochs"], "batch": 63})
    trained, curve = model.fit(*rows(), params, team)
    assert len(curve) == places["epochs"]
    folder = here / f"model-{team.rank}"
    folder.mkdir(exist_ok=True)
    trained.save(folder)
    content = b"".join(file.read_bytes() for file in sorted(folder.iterdir()))
    return hashlib.sha256(content).hexdigest(), curve, torch.rand(1).item()

def kept():
    return processes.Checkpoint(FILE, 0.0)
"""
ONE = f"""{COMMON}
if not (child := os.fork()):
    fitted(Killed(checkpoint=kept()))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
epochs = []
class Counting(processes.Processes):
    def keep(self, curve, *state):
        epochs.append(len(curve))
resumed = fitted(Counting(checkpoint=kept()))
whole = fitted(processes.Processes())
FILE.write_bytes(FILE.read_bytes()[:1000])
said = [resumed == whole, epochs, fitted(processes.Processes(checkpoint=kept())) == whole]
(here / "said").write_text(json.dumps(said))
"""
DATA = ["pipeline.contract", "pipeline.request", "pipeline.splits"]
PROJECTS = {
    "table": {"example": "table", "environment": "uv", "library": "torch"},
    "loss-anomaly": {"example": "loss-anomaly", "environment": "uv"},
    "lume": {"example": "lume", "environment": "uv"},
}
THREE = f"""{COMMON}
class Ended(Killed):
    def keep(self, curve, *state):
        processes.Processes.keep(self, curve, *state)
        if len(curve) == places["killed"]:
            raise InterruptedError

with processes.together("cpu") as team:
    try:
        fitted(Ended(team.rank, team.count, kept()))
    except InterruptedError:
        pass
    team.mean(0.0)
    assert FILE.exists()
    resumed = fitted(processes.Processes(team.rank, team.count, kept()))
    whole = fitted(team)
    (here / f"said-{{team.rank}}").write_text(json.dumps(resumed == whole))
"""
COUNT = 3
"""Two have one order of sums."""


def test_the_training_of_each_example_and_that_of_several_processes_goes_on(
    trained_project: Project, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    roots = {example: tmp_path / example / "project" for example in PROJECTS}
    for example, root in roots.items():
        shutil.copytree(project_to_read(tmp_path_factory, PROJECTS[example]), root)
    first, several = tmp_path / "first", tmp_path / "several"
    first.mkdir()
    several.mkdir()
    jobs = [job(ONE, root, root.parent, stages=DATA) for root in roots.values()]
    jobs += [job(ONE, trained_project.root, first), *team(job(THREE, trained_project.root, several), COUNT)]
    for done in forked(*jobs):
        assert done.code == 0, done.err
    found = {folder: json.loads((tmp_path / folder / "said").read_text()) for folder in ("first", *roots)}
    assert found == {folder: [True, [3, 4], True] for folder in found}
    said = [json.loads((tmp_path / f"several/said-{rank}").read_text()) for rank in range(COUNT)]
    assert said == [True] * COUNT


def job(script: str, root: Path, here: Path, stages: Sequence[str] = ()) -> Job:
    """The script for the project at `root`, which leaves in `here` what it says."""
    (package,) = [path.parent.name for path in root.glob("src/*/model.py")]
    places = {"stages": stages, "epochs": EPOCHS, "killed": KILLED, "every": 0.0}
    return Job(script, root, [root / "src"], [package, str(here), json.dumps(places)])
