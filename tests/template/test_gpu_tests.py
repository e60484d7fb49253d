"""The generated tests for GPUs, run on the CPU: their logic, two processes and mixed precision are proven here.

That a GPU agrees with a CPU is proven where there is one: by `test_on_a_real_gpu`, and by TST003 of each project.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from beampermit.environments.environment import Environment
from beampermit.environments.platforms import driver_version, torch_gpus
from beampermit.errors import Failed
from beampermit.generation import generate
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.project import Project
from support.trained_project import SLUG, python

pytestmark = pytest.mark.slow
FILE = "tests/integration/test_gpu.py"
ON_CPU = {"GPU_TESTS_DEVICE": "cpu"}


@pytest.fixture
def with_gpu_tests(trained_copy: Project, tmp_path: Path) -> Project:
    """The trained project with the tests and the promise that `accelerator=cuda` brings."""
    other = generate(tmp_path / "cuda", {"project_slug": SLUG, "environment": "uv", "accelerator": "cuda"})
    shutil.copy(other / FILE, trained_copy.root / FILE)
    contract = trained_copy.root / "contract.yaml"
    cuda = contract.read_text().replace("accelerators: [cpu]\n", "accelerators: [cpu, cuda]\n")
    contract.write_text(cuda.replace("\nsignals:\n", '\ntests: {gpu: {capability: "5.0"}}\nsignals:\n'))
    return trained_copy


def test_they_pass_on_a_cpu_where_they_are_told_to(with_gpu_tests: Project) -> None:
    done = python(with_gpu_tests, "-m", "pytest", "-q", "-p", "no:cacheprovider", FILE, env=ON_CPU)
    assert done.code == 0, done.out
    assert done.out.splitlines()[-1].startswith("4 passed")


DEFECTS = {
    "processes that do not share": ("processes.py", "rows[self.rank :: self.count]", "rows[:: self.count]"),
    "gradients that are not averaged": ("processes.py", "DistributedDataParallel(net) if", "net if"),
    "shares that count the same": (
        "processes.py",
        "len(own) * self.count / len(rows)",
        "1.3 - 0.6 * self.rank",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_training_on_two_processes_is_seen(with_gpu_tests: Project, defect: str) -> None:
    file, sound, broken = DEFECTS[defect]
    path = with_gpu_tests.root / "src/bpm_faults/pipeline" / file
    text = path.read_text()
    assert sound in text
    path.write_text(text.replace(sound, broken))
    params = with_gpu_tests.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 20", "epochs: 3"))  # enough for scores that differ
    done = python(
        with_gpu_tests, "-m", "pytest", "-q", "-p", "no:cacheprovider", FILE, "-k", "two_processes", env=ON_CPU
    )
    assert "FAILED tests/integration/test_gpu.py::test_two_processes_train_the_same_model_as_one" in done.out


@pytest.mark.gpu
def test_on_a_real_gpu(with_gpu_tests: Project, environment_prefix: Path) -> None:
    try:
        driver_version()
        torch_gpus(Environment(environment_prefix), with_gpu_tests.root)
    except Failed as error:
        pytest.skip(f"needs a GPU: {error.message}")
    (verdict,) = runner.check(with_gpu_tests, select_interlocks(["TST003"]))
    assert verdict.passed, verdict.reason
    assert verdict.evidence["peak_memory"] > 0
