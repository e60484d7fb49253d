"""The generated tests for GPUs, run on the CPU: their logic, two processes and mixed precision are proven here.

That a GPU agrees with a CPU is proven where there is one: by the last two tests, and by TST003 of each project.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Unit
from beampermit.environments.environment import Environment
from beampermit.environments.platforms import driver_version, torch_gpus
from beampermit.errors import Failed
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.project import Project
from support.filled_projects import project_to_read
from support.forked_trainings import Job, forked, own_tests, team

pytestmark = pytest.mark.slow
FILE = "tests/integration/test_gpu.py"
ON_CPU = {"GPU_TESTS_DEVICE": "cpu"}


@pytest.fixture
def with_gpu_tests(trained_copy: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The trained project with the tests and the promise that `accelerator=cuda` brings."""
    other = project_to_read(tmp_path_factory, {"environment": "uv", "accelerator": "cuda"})
    shutil.copy(other / FILE, trained_copy.root / FILE)
    contract = trained_copy.root / "contract.yaml"
    cuda = contract.read_text().replace("accelerators: [cpu]\n", "accelerators: [cpu, cuda]\n")
    contract.write_text(cuda.replace("\nsignals:\n", '\ntests: {gpu: {capability: "5.0"}}\nsignals:\n'))
    return trained_copy


def test_they_pass_on_a_cpu_where_they_are_told_to(with_gpu_tests: Project) -> None:
    _train_briefly(with_gpu_tests)
    done = own_tests(with_gpu_tests, FILE, env=ON_CPU)
    assert done.code == 0, done.out
    assert done.out.splitlines()[-1].startswith("4 passed")


DEFECTS = {
    "none": ("", ""),
    "processes that do not share": ("rows[self.rank :: self.count]", "rows[:: self.count]"),
    "gradients that are not averaged": ("DistributedDataParallel(net) if", "net if"),
    "shares that count the same": ("len(own) * self.count / len(rows)", "1.3 - 0.6 * self.rank"),
}
COMPARE = """
import json, sys
from pathlib import Path
import test_gpu as own
from bpm_faults.model import fit
from bpm_faults.pipeline import contract, processes, train

text = Path(processes.__file__).read_text()
rows, odd = train.train_and_held_out(contract.of(contract.ForTraining)), own.params(device="cpu", batch=63)
with processes.together("cpu") as team:
    for name, (sound, broken) in json.loads(sys.argv[1]).items():
        assert sound in text
        exec(text.replace(sound, broken) if sound else text, vars(processes))
        two, _ = fit(*rows, odd, processes.Processes(team.rank, team.count))
        own._trained_by_two = lambda *_: two
        if team.rank == 0:
            try:
                own.test_two_processes_train_the_same_model_as_one(rows, "cpu", Path())
            except AssertionError:
                print("failed:", name)
            else:
                print("passed:", name)
"""
"""Two processes train with each defect in turn; the project's test compares the model with one's own."""


def test_each_defect_of_the_training_on_two_processes_is_seen(with_gpu_tests: Project) -> None:
    _train_briefly(with_gpu_tests)
    root = with_gpu_tests.root
    paths = [root / "src", (root / FILE).parent]
    first, second = forked(*team(Job(COMPARE, root, paths, [json.dumps(DEFECTS)], ON_CPU), 2))
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert first.out.splitlines() == ["passed: none", *(f"failed: {name}" for name in list(DEFECTS)[1:])]


def _train_briefly(project: Project) -> None:
    """Scores already differ after three epochs."""
    params = project.root / "params.yaml"
    text = params.read_text()
    assert "epochs: 20" in text
    params.write_text(text.replace("epochs: 20", "epochs: 3"))


@pytest.fixture
def gpu(environment_prefix: Path, trained_copy: Project) -> str:
    """The name of the first GPU that torch of the project's environment sees."""
    try:
        driver_version()
        found = torch_gpus(Environment(environment_prefix), trained_copy.root)
    except Failed as error:
        pytest.skip(f"needs a GPU: {error.message}")
    return found.devices[0].name


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
def test_on_a_real_gpu(with_gpu_tests: Project) -> None:
    (verdict,) = runner.check(with_gpu_tests, select_interlocks(["TST003"]))
    assert verdict.passed, verdict.reason
    assert verdict.evidence["peak_memory"] > 0


@pytest.mark.gpu
def test_a_trial_on_a_real_gpu(trained_copy: Project, environment_prefix: Path, gpu: str, tmp_path: Path) -> None:
    train = yaml.safe_load((trained_copy.root / "params.yaml").read_text())["train"]
    request = {"parameters": {}, "params": {"train": {**train, "epochs": 3, "device": "cuda"}}, "scores": True}
    environment = Environment(environment_prefix)
    trial = Unit("a trial", "bpm_faults.pipeline.trial", request, tree=trained_copy.root, environment=environment)
    with open_executor("local", Resources(gpus=1, at_once=1), tmp_path) as executor:
        (ended,) = perform_all(iter([trial]), executor, tmp_path)
    assert ended.result, ended.reason
    assert ended.result["machine"]["device"] == gpu
