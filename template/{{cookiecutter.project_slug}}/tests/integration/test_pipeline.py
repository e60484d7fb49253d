"""All stages on a few signals in a temporary folder, and the saved model in a clean process."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from {{ cookiecutter.package_name }} import signals
from {{ cookiecutter.package_name }}.model import FaultModel
from {{ cookiecutter.package_name }}.train import TRAINED

ROOT = Path(__file__).parents[2]
STAGES = ["request", "label", "dataset", "train", "evaluate", "limits", "package"]
pytestmark = pytest.mark.integration

SERVE = """
import json, mlflow.pyfunc, numpy as np
model = mlflow.pyfunc.load_model("model")
example = json.load(open("model/input_example.json"))["turns"]
scores = model.predict({"turns": np.array(example, dtype=np.float32)})
import {{ cookiecutter.package_name }}
print(json.dumps({"scores": scores["score"].tolist(), "code": {{ cookiecutter.package_name }}.__file__}))
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project that asks for little data, its pipeline run; it is the working folder too."""
    folder = tmp_path_factory.mktemp("small")
    for name in ("contract.yaml", "params.yaml", "devices.csv"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "labels", folder / "labels")
    contract = yaml.safe_load((folder / "contract.yaml").read_text())
    contract["dataset"]["request"] = {"source": "simulator", "options": {"acquisitions": 12, "seed": 3}}
    (folder / "contract.yaml").write_text(yaml.safe_dump(contract))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in STAGES:
            run(stage)
        yield folder


def run(stage: str, *arguments: str) -> None:
    """Run a stage as `python -m` would, without the seconds that a new process takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [stage, *arguments])
        importlib.import_module(f"{{ cookiecutter.package_name }}.{stage}").main()


def python(folder: Path, *arguments: str) -> str:
    """Run Python in a folder without this project's code to import from; give what it printed."""
    environment = {**os.environ, "PYTHONPATH": "", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    finished = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_metrics_are_better_than_chance(small: Path) -> None:
    metrics = json.loads((small / "metrics/metrics.json").read_text())
    contract = yaml.safe_load((small / "contract.yaml").read_text())
    assert {metric["name"] for metric in contract["metrics"]} <= metrics.keys()
    assert metrics["auc"] > 0.8


def test_given_scores_have_the_same_metrics(small: Path) -> None:
    table = signals.read(Path("data/dataset/test.parquet"), ["turns"])
    model = FaultModel.load(TRAINED / "weights.safetensors", TRAINED / "transform.json")
    pd.DataFrame({"score": model(signals.turns_of(table))}).to_parquet("scores.parquet")
    arguments = ("--inputs", "data/dataset/test.parquet", "--scores", "scores.parquet", "--out", "again.json")
    run("evaluate", *arguments)
    own, again = (json.loads((small / name).read_text()) for name in ("metrics/metrics.json", "again.json"))
    assert again == pytest.approx(own, abs=1e-6)


def test_saved_model_loads_with_its_own_code_in_a_clean_process(small: Path) -> None:
    answer = json.loads(python(small, "-c", SERVE).splitlines()[-1])
    assert Path(answer["code"]).is_relative_to(small / "model/code")
    assert all(0 <= score <= 1 for score in answer["scores"])


def test_saved_model_contains_only_safetensors_text_and_code(small: Path) -> None:
    kinds = {path.suffix for path in (small / "model").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert kinds <= {".safetensors", ".json", ".yaml", ".py", ".txt", ""}


def test_manifest_lists_every_file_of_model_and_dataset(small: Path) -> None:
    files = json.loads((small / "manifest.json").read_text())["files"]
    assert {"model/MLmodel", "model/artifacts/weights.safetensors", "data/dataset/test.parquet"} <= files.keys()


def test_dataset_records_its_parents_and_its_code(small: Path) -> None:
    found = json.loads((small / "data/dataset.json").read_text())
    assert list(found["parents"]) == ["data/raw.parquet", "data/labels.parquet"]
    assert {"train", "validation", "test"} == found["splits"].keys()
    before = (small / "data/dataset.json").read_bytes()
    run("dataset")
    assert (small / "data/dataset.json").read_bytes() == before


def test_packaging_is_deterministic(small: Path) -> None:
    before = (small / "manifest.json").read_bytes()
    run("package")
    assert (small / "manifest.json").read_bytes() == before
