"""TST003 passes only where every test marked `gpu` ran on a GPU that the base branch's contract is content with.

The machine is planted: a program `nvidia-smi` on the path, and a module `torch` in the project's environment that names
devices. pytest, the tests and the judgement are real. `tests/template/test_gpu_tests.py`
plants nothing, and needs a GPU.
"""

from __future__ import annotations

import os
import shutil
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.environments import Environment
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.written_tests import find_marks
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.package_index import tested_template

pytestmark = pytest.mark.slow

__all__ = ["tested_template"]

Judge = Callable[..., Verdict]
ASKED = 'tests: {gpu: {capability: "7.0", driver: "535.10", memory: 8192}}\n'
TORCH = """
from types import SimpleNamespace

__version__ = "2.13.0"
version = SimpleNamespace(cuda=CUDA)
_peak = [0]

class cuda:
    def device_count(): return len(DEVICES)
    def get_device_properties(place): return SimpleNamespace(**DEVICES[place])
    def max_memory_allocated(place): return _peak[0]

def put(bytes): _peak[0] = max(_peak[0], bytes)
"""
H100 = {"name": "NVIDIA H100", "major": 9, "minor": 0, "total_memory": 80 * 2**30}
P100 = {"name": "Tesla P100", "major": 6, "minor": 0, "total_memory": 16 * 2**30}
SMALL = {"name": "NVIDIA T400", "major": 7, "minor": 5, "total_memory": 4 * 2**30}
GOOD = "import pytest, torch\n@pytest.mark.gpu\ndef test_training(): torch.put(300 * 2**20)\ndef test_cpu(): assert 0\n"


@pytest.fixture
def environment(tested_template: Path, tmp_path: Path) -> Environment:
    """An environment with the real pytest, and a place where `torch` may be planted."""
    venv.create(tmp_path / "environment", symlinks=True)
    (site,) = (tmp_path / "environment").glob("lib/python*/site-packages")
    (real,) = (tested_template / ".venv").glob("lib/python*/site-packages")
    (site / "pytest.pth").write_text(f"{real}\n")
    return Environment(tmp_path / "environment")


@pytest.fixture
def judge(
    project: Project, tested_template: Path, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Judge:
    """Judge `tests/unit/test_unit.py` on a planted machine: `judge("def test(): ...", driver=None, devices=[])`."""
    shutil.copy(tested_template / "pyproject.toml", project.root)
    with (project.root / "pyproject.toml").open("a") as settings:
        settings.write("markers = ['gpu: needs a GPU']\naddopts = '--strict-markers'\n")

    def run(
        content: str,
        *,
        asked: str = ASKED,
        driver: str | None = "550.54",
        cuda: str | None = "12.6",
        devices: list[dict] | None = [H100],  # noqa: B006 - not changed
        integration: str = "",
        base: str | None = None,
        **others: str,
    ) -> Verdict:
        _promise(project.root, asked)
        for folder, text in (("unit", content), ("integration", integration)):
            if text:
                (project.root / "tests" / folder).mkdir(parents=True)
                (project.root / "tests" / folder / f"test_{folder}.py").write_text(text)
        for name, text in others.items():
            (project.root / "tests/unit" / f"{name}.py").write_text(text)
        if devices is not None:
            (site,) = environment.prefix.glob("lib/python*/site-packages")
            (site / "torch.py").write_text(f"DEVICES = {devices!r}\nCUDA = {cuda!r}\n{TORCH}")
        _plant_driver(tmp_path / "bin", driver, monkeypatch)
        found = Project(project.root, base)
        (verdict,) = runner.run(select_interlocks(["TST003"]), Inputs(project=found, environment=environment))
        return verdict

    return run


def _promise(root: Path, asked: str) -> None:
    contract = (root / "contract.yaml").read_text()
    cuda = contract.replace("  backend: uv\n", "  backend: uv\n  accelerators: [cpu, cuda]\n")
    (root / "contract.yaml").write_text(cuda.replace("signals:\n", f"{asked}signals:\n", 1))


def _plant_driver(folder: Path, driver: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    if driver is not None:
        program = folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{driver if ' ' in driver else f'echo {driver}'}\n")
        program.chmod(0o755)
    keep = [part for part in os.environ["PATH"].split(os.pathsep) if not Path(part, "nvidia-smi").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), *keep]))


def test_it_passes_where_tests_pass_on_a_gpu_and_the_device_is_recorded(judge: Judge) -> None:
    verdict = judge(GOOD, integration=GOOD.replace("300", "200"))
    assert verdict.passed, verdict.reason
    assert verdict.reason == "2 tests passed on NVIDIA H100, driver 550.54, peak memory 300 MiB"
    evidence = verdict.evidence
    assert evidence["driver"] == "550.54"
    assert evidence["devices"] == [{"name": "NVIDIA H100", "capability": "9.0", "memory": 81920.0}]
    assert (evidence["peak_memory"], evidence["tests"], evidence["passed"]) == (300.0, 2, 2)
    assert evidence["seconds"] >= 0


DEFECTS = {
    "no driver": ({"driver": None}, "no GPU is visible: the program 'nvidia-smi' is not on this machine"),
    "a driver that does not answer": (
        {"driver": "echo 'No devices were found'; exit 6"},
        "no GPU is visible: nvidia-smi printed 'No devices were found'",
    ),
    "no torch": ({"devices": None}, "torch of the project's environment cannot list GPUs"),
    "torch for CPUs": ({"devices": [], "cuda": None}, "is built without CUDA"),
    "GPUs hidden from torch": ({"devices": []}, "sees none of the machine's GPUs"),
    "an old driver": ({"driver": "535.9"}, "the driver is 535.9, older than 535.10"),
    "a low capability": ({"devices": [P100]}, "Tesla P100 has compute capability 6.0, less than 7.0"),
    "a second GPU that is too small": ({"devices": [H100, SMALL]}, "NVIDIA T400 has 4096 MiB, less than 8192"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_machine_below_the_contract_fails(judge: Judge, defect: str) -> None:
    planted, words = DEFECTS[defect]
    verdict = judge(GOOD, **planted)
    assert verdict.outcome is Outcome.FAILED, verdict
    assert words in verdict.reason
    assert "tests" not in verdict.evidence, "no test is run where the machine will not do"
    assert "gpu-labels" in verdict.fix


SPOILT = {
    "a failure": (GOOD.replace("torch.put", "assert torch.put"), "tests/unit/test_unit.py:3 test_training"),
    "a skip": (
        GOOD + "@pytest.mark.gpu\ndef test_two(): pytest.skip('one GPU only')\n",
        "test_two was skipped: one GPU only",
    ),
    "an expected failure": (
        GOOD + "@pytest.mark.gpu\n@pytest.mark.xfail(reason='nccl')\ndef test_two(): assert 0\n",
        "test_two was skipped: nccl",
    ),
    "all skipped": ("import pytest\n@pytest.mark.gpu\n@pytest.mark.skip\ndef test(): pass\n", "were skipped"),
    "none marked": ("def test(): pass\n", "no tests ran in tests/unit"),
    "nothing put on the GPU": (
        "import pytest\n@pytest.mark.gpu\ndef test(): pass\n",
        "none of them used GPU memory",
    ),
    "a broken import": ("import nothing_like_this\n", "No module named 'nothing_like_this'"),
}


@pytest.mark.plants("TST003")
@pytest.mark.parametrize("defect", SPOILT)
def test_tests_that_did_not_all_pass_on_a_gpu_fail(judge: Judge, defect: str) -> None:
    content, words = SPOILT[defect]
    verdict = judge(content)
    assert verdict.outcome is Outcome.FAILED, verdict
    assert words in verdict.reason
    assert verdict.evidence["driver"] == "550.54", "where it failed is recorded too"


def test_a_conftest_that_takes_the_gpu_tests_away_fails(judge: Judge) -> None:
    verdict = judge(GOOD, conftest="def pytest_collection_modifyitems(items): items.clear()\n")
    assert verdict.reason == "no tests ran in tests/unit"


def test_settings_that_leave_out_gpu_tests_are_not_heard(judge: Judge, project: Project) -> None:
    settings = project.root / "pyproject.toml"
    settings.write_text(settings.read_text().replace("--strict-markers", '--strict-markers -m "not gpu"'))
    assert judge(GOOD).passed


def test_without_a_promise_and_without_gpu_tests_it_passes_wherever_it_runs(judge: Judge) -> None:
    verdict = judge("def test(): pass\n", asked="", driver=None, devices=None)
    assert verdict.passed
    assert verdict.reason == "neither the contract nor a test asks for a GPU"


def test_a_gpu_test_that_nobody_would_run_fails_by_file_and_line(judge: Judge) -> None:
    verdict = judge(GOOD, asked="", driver=None, devices=None)
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("tests/unit/test_unit.py:2 is marked gpu, but no machine runs it")
    assert (verdict.locations[0].file, verdict.locations[0].line) == ("tests/unit/test_unit.py", 2)


def test_a_promise_that_a_pull_request_takes_away_still_judges(
    judge: Judge, project: Project, git: Callable[..., str], contract_text: str
) -> None:
    _promise(project.root, ASKED)
    git("commit", "--quiet", "--all", "--message", "A promise")
    git("checkout", "--quiet", "-b", "topic")
    (project.root / "contract.yaml").write_text(contract_text)
    git("commit", "--quiet", "--all", "--message", "No promise")
    verdict = judge("def test(): pass\n", asked="", driver=None, base="main")
    assert verdict.outcome is Outcome.FAILED
    assert "no GPU is visible" in verdict.reason


def test_a_first_promise_holds_in_the_pull_request_that_makes_it(judge: Judge) -> None:
    assert "no GPU is visible" in judge(GOOD, driver=None, base="main").reason


def test_other_interlocks_leave_gpu_tests_out(judge: Judge, project: Project, environment: Environment) -> None:
    judge(GOOD.replace("assert 0", "pass").replace("torch.put(300 * 2**20)", "assert 0"))
    (verdict,) = runner.run(select_interlocks(["TST001"]), Inputs(project=project, environment=environment))
    assert verdict.passed, verdict.reason
    assert verdict.evidence["tests"] == 1


def test_marks_are_read_and_never_run(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text("raise SystemExit\n'pytest.mark.gpu'\npytestmark = pytest.mark.gpu\n")
    (tmp_path / "tests/test_b.py").write_text("def broken(:\n")
    assert [(mark.file, mark.line) for mark in find_marks(tmp_path, "gpu")] == [("tests/test_a.py", 3)]
