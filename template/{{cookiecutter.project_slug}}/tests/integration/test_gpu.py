"""Training on a GPU. With GPU_TESTS_DEVICE=cpu the same tests run anywhere, without testing a GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from {{ cookiecutter.package_name }} import evaluate, settings, signals
from {{ cookiecutter.package_name }}.model import FaultModel
from {{ cookiecutter.package_name }}.train import TRAINED, Data, fit, load

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-3
"""How far scores, between 0 and 1, may differ when sums are made in another order."""
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
def few(turns: np.ndarray, table: pd.DataFrame) -> Data:
    """A few simulated signals, and whether each is faulty."""
    return turns, (table["injected"] != "none").to_numpy(dtype=np.float32)


def params(**training: object) -> settings.Params:
    """The project's parameters, some of the training's replaced."""
    found = settings.params()
    return found.model_copy(update={"train": found.train.model_copy(update=training)})


def test_training_on_the_gpu_agrees_with_training_on_the_cpu(few: Data, device: str) -> None:
    there, curve = fit(few, few, params(device=device))
    here, expected = fit(few, few, params(device="cpu"))
    np.testing.assert_allclose(there(few[0]), here(few[0]), atol=TOLERANCE)
    np.testing.assert_allclose(curve, expected, atol=TOLERANCE)


def test_checkpoint_moves_between_gpu_and_cpu(few: Data, device: str, tmp_path: Path) -> None:
    trained, _ = fit(few, few, params(device=device, epochs=2))
    trained.save(tmp_path / "there")
    files = [tmp_path / "there" / name for name in ("weights.safetensors", "transform.json")]
    here, back = FaultModel.load(*files), FaultModel.load(*files, device=device)
    np.testing.assert_allclose(here(few[0]), trained(few[0]), atol=1e-5)
    np.testing.assert_array_equal(back(few[0]), trained(few[0]))
    here.save(tmp_path / "here")
    assert (tmp_path / "here/weights.safetensors").read_bytes() == files[0].read_bytes()


def test_mixed_precision_stays_within_the_gates(device: str) -> None:
    model, _ = fit(load("train"), load("validation"), params(device=device, precision="mixed"))
    contract = settings.contract()
    table = signals.read(Path(contract["evaluation"]["inputs"]), ["turns", "fault"])
    found = evaluate.metrics(model(signals.turns_of(table)), table["fault"].to_numpy(dtype=str), settings.threshold())
    for metric in contract["metrics"]:
        sign = 1 if metric["better"] == "higher" else -1
        assert sign * found[metric["name"]] >= sign * metric["gate"], metric["name"]


def test_two_processes_train_the_same_model_as_one(device: str, tmp_path: Path) -> None:
    odd = params(device=device, batch=63)  # shares are not equal
    one, _ = fit(load("train"), load("validation"), odd)
    two = _trained_by_two(tmp_path, odd)
    inputs, _ = load("validation")
    np.testing.assert_allclose(two(inputs), one(inputs), atol=TOLERANCE)


def _trained_by_two(folder: Path, trained_with: settings.Params) -> FaultModel:
    """The model that two processes of torchrun train in a temporary folder."""
    shutil.copy("contract.yaml", folder)
    (folder / "data").symlink_to(ROOT / "data")
    (folder / "params.yaml").write_text(yaml.safe_dump(trained_with.model_dump(mode="json")), encoding="utf-8")
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    finished = subprocess.run(
        [sys.executable, "-m", *torchrun, "-m", "{{ cookiecutter.package_name }}.train"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    trained = folder / TRAINED
    return FaultModel.load(trained / "weights.safetensors", trained / "transform.json")
