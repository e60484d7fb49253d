"""Every stage of dvc.yaml on a few rows in a temporary folder, and the saved model in a clean process."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from {{ cookiecutter.package_name }}.model import NEEDS, Model
from {{ cookiecutter.package_name }}.pipeline import contract, package, tables
from {{ cookiecutter.package_name }}.pipeline.train import TRAINED

ROOT = Path(__file__).parents[2]
MADE = {"data", "metrics", "models", "model", "manifest.json", "tuning"}
ELSEWHERE = {"src", "tests", "docs", "dvc.lock"}
pytestmark = pytest.mark.integration

SERVE = """
import json, mlflow.pyfunc, numpy as np
model = mlflow.pyfunc.load_model("model")
example = json.load(open("model/input_example.json"))
types = {field.name: field.type for field in model.metadata.signature.inputs.inputs}
answer = model.predict({name: np.array(values, dtype=types[name]) for name, values in example.items()})
import {{ cookiecutter.package_name }}
answers = {name: answer[name].tolist() for name in answer}
print(json.dumps({"answers": answers, "code": {{ cookiecutter.package_name }}.__file__}))
"""


@pytest.fixture(scope="module")
def small(small_request: dict[str, object] | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the project that asks for little data, its pipeline run; it is the working folder too."""
    folder = tmp_path_factory.mktemp("small")
    for entry in ROOT.iterdir():
        if entry.name not in MADE | ELSEWHERE and not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)
    if small_request is not None:
        content = contract.read_yaml(ROOT / "contract.yaml")
        content["dataset"]["request"] = small_request
        (folder / "contract.yaml").unlink()
        (folder / "contract.yaml").write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in contract.read_yaml(Path("dvc.yaml"))["stages"].values():
            run(stage["cmd"].removeprefix("python -m "))
        yield folder


def run(module: str, *arguments: str) -> None:
    """Run a stage as `python -m` would, without the seconds that a new process takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, *arguments])
        importlib.import_module(module).main()


def python(folder: Path, *arguments: str) -> str:
    """Run Python in a folder without this project's code to import from; give what it printed."""
    environment = {**os.environ, "PYTHONPATH": "", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    finished = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_given_scores_have_the_same_metrics(small: Path) -> None:
    part = contract.of(contract.ForEvaluation)
    rows = tables.read_rows(part.rows, part.inputs)
    tables.write_arrays(Model.load(TRAINED)(rows.inputs), "scores.parquet")
    arguments = ("--inputs", part.rows, "--scores", "scores.parquet", "--out", "again.json")
    run("{{ cookiecutter.package_name }}.pipeline.evaluate", *arguments)
    own, again = (json.loads((small / name).read_text()) for name in (part.metrics, "again.json"))
    assert again == pytest.approx(own, abs=1e-6)


def test_saved_model_loads_with_its_own_code_in_a_clean_process(small: Path) -> None:
    answer = json.loads(python(small, "-c", SERVE).splitlines()[-1])
    assert Path(answer["code"]).is_relative_to(small / "model/code")
    for output in contract.of(contract.ForEvaluation).outputs:
        values = np.array(answer["answers"][output.name])
        assert values.shape[1:] == output.shape
        assert np.isfinite(values).all()


def test_saved_model_contains_only_weights_text_and_code(small: Path) -> None:
    kinds = {path.suffix for path in (small / "model").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert kinds <= {".safetensors", ".onnx", ".ubj", ".json", ".yaml", ".py", ".txt", ""}


def test_manifest_lists_every_file_of_model_and_dataset(small: Path) -> None:
    files = json.loads((small / "manifest.json").read_text())["files"]
    assert {"model/MLmodel", *contract.of(contract.ForPackage).splits.values()} <= files.keys()
    assert {path.relative_to(small).as_posix() for path in (small / TRAINED).iterdir()} <= files.keys()


def test_dataset_records_its_parents_and_its_code(small: Path) -> None:
    part = contract.of(contract.ForSplits)
    before = (small / part.lineage).read_bytes()
    found = json.loads(before)
    assert list(found["parents"]) == [path for path in (part.raw, part.labels) if path]
    assert found["splits"].keys() == part.splits.keys()
    run("{{ cookiecutter.package_name }}.pipeline.splits")
    assert (small / part.lineage).read_bytes() == before


def test_packaging_is_deterministic(small: Path) -> None:
    before = (small / "manifest.json").read_bytes()
    run("{{ cookiecutter.package_name }}.pipeline.package")
    assert (small / "manifest.json").read_bytes() == before


def test_what_the_model_needs_is_read_or_asked_of_the_module(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text('NEEDS = ("one", "two")\n')
    assert package.needs(file) == ("one", "two")
    for text in ("NEEDS = found()\n", 'NEEDS = ("one",)\nNEEDS += ("two",)\n', "from .needs import NEEDS\n"):
        file.write_text(text)
        assert package.needs(file) == tuple(NEEDS)
