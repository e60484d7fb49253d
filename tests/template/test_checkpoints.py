"""A training that is killed and begun again ends with the weights of one that never was, bit by bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from beampermit.project import Project
from support.filled_projects import project_to_read
from support.trained_project import python

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
print(json.dumps([resumed == whole, epochs, fitted(processes.Processes(checkpoint=kept())) == whole]))
"""
DATA = ["pipeline.contract", "pipeline.request", "pipeline.splits"]
PROJECTS = {
    "table": {"example": "table", "environment": "uv", "library": "torch"},
    "loss-anomaly": {"example": "loss-anomaly", "environment": "uv"},
    "lume": {"example": "lume", "environment": "uv"},
}


def test_the_training_of_the_first_example_goes_on(trained_project: Project, tmp_path: Path) -> None:
    assert said(trained_project, ONE, tmp_path, stages=[]) == [True, [3, 4], True]


@pytest.mark.parametrize("example", PROJECTS)
def test_that_of_each_other_example_goes_on(
    example: str, environment_prefix: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    root = shutil.copytree(project_to_read(tmp_path_factory, PROJECTS[example]), tmp_path / "project")
    assert said(Project(root), ONE, tmp_path, stages=DATA) == [True, [3, 4], True]


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
    (here / f"same-{{team.rank}}").write_text(str(resumed == whole))
"""


def test_that_of_several_processes_goes_on(trained_project: Project, tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3")  # two have one order of sums
    script = tmp_path / "three.py"
    script.write_text(THREE)
    done = python(trained_project, *torchrun, str(script), "bpm_faults", str(tmp_path), json.dumps(places([])))
    assert done.code == 0, done.err
    assert [(tmp_path / f"same-{rank}").read_text() for rank in range(3)] == ["True"] * 3


def said(project: Project, script: str, folder: Path, stages: list[str]) -> object:
    (package,) = [path.parent.name for path in project.root.glob("src/*/model.py")]
    done = python(project, "-c", script, package, str(folder), json.dumps(places(stages)))
    assert done.code == 0, done.err
    return json.loads(done.out.splitlines()[-1])


def places(stages: list[str]) -> dict[str, object]:
    return {"stages": stages, "epochs": EPOCHS, "killed": KILLED, "every": 0.0}
