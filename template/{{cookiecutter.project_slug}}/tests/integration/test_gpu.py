"""Training on a GPU. With GPU_TESTS_DEVICE=cpu the same tests run anywhere, without testing a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from {{ cookiecutter.package_name }}.model import Model, Training, fit
from {{ cookiecutter.package_name }}.pipeline import contract
from {{ cookiecutter.package_name }}.pipeline.tables import Arrays, Rows
from {{ cookiecutter.package_name }}.pipeline.train import TRAINED, train_and_held_out

ROOT = Path(__file__).parents[2]
FEW = 200
TOLERANCE = 1e-3
"""How far outputs may differ when sums are made in another order, as a part of their span."""
MIXED = 0.05
"""How far they may differ on average when products have fewer digits."""
pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where to train: the GPU, unless the environment says otherwise. The working folder is the project's."""
    monkeypatch.chdir(ROOT)
    found = os.environ.get("GPU_TESTS_DEVICE", "cuda")
    if found == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    return found


@pytest.fixture
def rows() -> tuple[Rows, Rows]:
    """The rows to fit and those to watch the loss on."""
    return train_and_held_out(contract.of(contract.ForTraining))


@pytest.fixture
def few(rows: tuple[Rows, Rows]) -> Rows:
    """A few rows of the training."""
    return rows[0].take(np.arange(min(FEW, len(rows[0]))))


def params(**training: object) -> Training:
    """The project's parameters, some of them replaced."""
    return contract.params("train", Training).model_copy(update=training)


def differences(found: Arrays, expected: Arrays) -> np.ndarray:
    """Of all outputs, as a part of their span."""
    return np.concatenate([np.abs(found[name] - one).ravel() / np.ptp(one) for name, one in expected.items()])


def test_training_on_the_gpu_agrees_with_training_on_the_cpu(few: Rows, device: str) -> None:
    there, curve = fit(few, few, params(device=device))
    here, expected = fit(few, few, params(device="cpu"))
    assert differences(there(few.inputs), here(few.inputs)).max() < TOLERANCE
    np.testing.assert_allclose(curve, expected, atol=TOLERANCE)


def test_checkpoint_moves_between_gpu_and_cpu(few: Rows, device: str, tmp_path: Path) -> None:
    trained, _ = fit(few, few, params(device=device, epochs=2))
    for name in ("there", "here"):
        (tmp_path / name).mkdir()
    trained.save(tmp_path / "there")
    here, back = Model.load(tmp_path / "there"), Model.load(tmp_path / "there", device=device)
    assert differences(here(few.inputs), trained(few.inputs)).max() < 1e-5
    assert not differences(back(few.inputs), trained(few.inputs)).any()
    here.save(tmp_path / "here")
    for file in (tmp_path / "there").iterdir():
        assert (tmp_path / "here" / file.name).read_bytes() == file.read_bytes()


def test_mixed_precision_hardly_changes_the_outputs(rows: tuple[Rows, Rows], device: str) -> None:
    mixed, _ = fit(*rows, params(device=device, precision="mixed"))
    full, _ = fit(*rows, params(device=device))
    assert 0 < differences(mixed(rows[1].inputs), full(rows[1].inputs)).mean() < MIXED


def test_two_processes_train_the_same_model_as_one(rows: tuple[Rows, Rows], device: str, tmp_path: Path) -> None:
    odd = params(device=device, batch=63)  # shares are not equal
    one, _ = fit(*rows, odd)
    two = _trained_by_two(tmp_path, odd)
    assert differences(two(rows[1].inputs), one(rows[1].inputs)).max() < TOLERANCE


def _trained_by_two(folder: Path, trained_with: Training) -> Model:
    """The model that two processes of torchrun train in a temporary folder."""
    shutil.copy("contract.yaml", folder)
    (folder / "data").symlink_to(ROOT / "data")
    content = {**contract.read_yaml(contract.PARAMS), "train": trained_with.model_dump(mode="json")}
    (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    finished = subprocess.run(
        [sys.executable, "-m", *torchrun, "-m", "{{ cookiecutter.package_name }}.pipeline.train"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return Model.load(folder / TRAINED)
