"""Every stage of dvc.yaml on a few rows in a temporary folder, and the saved model without this project's code."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pytest

from {{ cookiecutter.package_name }}.model import NEEDS, Model
from {{ cookiecutter.package_name }}.pipeline import contract, package, tables
from {{ cookiecutter.package_name }}.pipeline.train import TRAINED

ROOT = Path(__file__).parents[2]
MADE = {"data", "metrics", "models", "model", "manifest.json"}
ELSEWHERE = {"src", "tests", "docs", "dvc.lock"}
pytestmark = pytest.mark.integration

PACKAGE = "{{ cookiecutter.package_name }}"


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


def own_modules() -> list[str]:
    """Names of this project's modules that are imported."""
    return [name for name in sys.modules if name.partition(".")[0] == PACKAGE]


@pytest.fixture
def without_own_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """None of this project's modules is imported or can be, as where the saved model is served."""
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry).resolve() != (ROOT / "src").resolve()])
    kept = {name: sys.modules.pop(name) for name in own_modules()}
    yield
    for name in own_modules():
        del sys.modules[name]
    sys.modules.update(kept)


def test_given_scores_have_the_same_metrics(small: Path) -> None:
    part = contract.of(contract.ForEvaluation)
    rows = tables.read_rows(part.rows, part.inputs)
    tables.write_arrays(Model.load(TRAINED)(rows.inputs), "scores.parquet")
    arguments = ("--inputs", part.rows, "--scores", "scores.parquet", "--out", "again.json")
    run("{{ cookiecutter.package_name }}.pipeline.evaluate", *arguments)
    own, again = (json.loads((small / name).read_text()) for name in (part.metrics, "again.json"))
    assert again == pytest.approx(own, abs=1e-6)


@pytest.mark.usefixtures("without_own_code")
def test_saved_model_loads_with_its_own_code(small: Path) -> None:
    model = mlflow.pyfunc.load_model("model", suppress_warnings=True)
    example = json.loads(Path("model/input_example.json").read_text(encoding="utf-8"))
    types = {field.name: field.type for field in model.metadata.signature.inputs.inputs}
    answer = model.predict({name: np.array(values, dtype=types[name]) for name, values in example.items()})
    assert Path(importlib.import_module(PACKAGE).__file__ or "").is_relative_to(small / "model/code")
    for output in contract.of(contract.ForEvaluation).outputs:
        values = np.array(answer[output.name].tolist())
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
