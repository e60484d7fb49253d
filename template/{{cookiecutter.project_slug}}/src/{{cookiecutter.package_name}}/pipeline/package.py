"""Stage `package`: write the saved model, an MLflow pyfunc of code and weights, and the SHA-256 of its files."""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import shutil
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import mlflow.pyfunc
import yaml
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array

from . import contract, tables
from .contract import TRAINED

PACKAGE = Path(__file__).parents[1]
EXAMPLE_ROWS = 2
MLFLOW = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",  # the saved model must not depend on whether uv is installed
}
SERVING = ("mlflow-skinny", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml")
"""Packages that the pipeline needs to serve; `NEEDS` of `model.py` has those of the model."""


def save(folder: Path, part: contract.ForPackage, example: tables.Arrays) -> None:
    """Write the saved model; `example`: inputs of a few rows. The same files always give the same bytes."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    shutil.rmtree(folder, ignore_errors=True)
    artifacts = {path.name: str(path) for path in sorted(TRAINED.iterdir())}
    mlflow.pyfunc.save_model(
        path=folder,
        python_model=str(Path(__file__).with_name("serving.py")),
        artifacts={**artifacts, contract.CONTRACT.name: str(contract.CONTRACT)},
        code_paths=[str(PACKAGE)],
        signature=_signature(part),
        input_example=example,
        pip_requirements=[f"{name}=={version(name)}" for name in sorted({*SERVING, *needs()})],
    )
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
    _make_deterministic(folder)


def needs(file: Path = PACKAGE / "model.py") -> tuple[str, ...]:
    """`NEEDS` of `model.py`: read where it is written out once, since it takes seconds to import torch."""
    if file.is_file():
        tree = ast.parse(file.read_bytes())
        named = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "NEEDS"]
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and statement.targets == named:
                with suppress(ValueError):
                    return tuple(ast.literal_eval(statement.value))
    from .. import model

    return tuple(model.NEEDS)


def _signature(part: contract.ForPackage) -> ModelSignature:
    inputs = [TensorSpec(tables.kind_of(one.shape), (-1, *one.shape), one.name) for one in part.inputs]
    outputs = [ColSpec(_kind(one.shape), one.name) for one in part.outputs]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _kind(shape: tuple[int, ...]) -> Any:
    return Array(_kind(shape[1:])) if shape else DataType.double


def _make_deterministic(folder: Path) -> None:
    """Replace the random id, the time and the absolute path that MLflow writes."""
    file = folder / "MLmodel"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    weights = hashlib.sha256()
    for path in sorted(path for path in (folder / "artifacts").rglob("*") if path.is_file()):
        weights.update(path.read_bytes())
    content["model_uuid"] = UUID(weights.hexdigest()[:32]).hex
    content.pop("utc_time_created", None)
    flavor = content["flavors"]["python_function"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    file.write_text(yaml.safe_dump(content, sort_keys=True), encoding="utf-8")


def manifest(*paths: str | Path) -> dict[str, object]:
    """Path -> SHA-256 of every file of `paths`, which are files and folders."""
    found = {file for path in map(Path, paths) for file in (path.rglob("*") if path.is_dir() else [path])}
    files = sorted(file for file in found if file.is_file())
    digests = {file.as_posix(): f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files}
    return {"algorithm": "sha256", "files": digests}


def main() -> None:
    """Stage `package`."""
    os.environ.update(MLFLOW)
    part = contract.of(contract.ForPackage)
    rows = tables.read_rows(part.rows, part.inputs)
    save(Path(part.model), part, {name: values[:EXAMPLE_ROWS] for name, values in rows.inputs.items()})
    content = manifest(part.model, TRAINED, *part.splits.values(), part.scores, *part.origins)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    Path(part.manifest).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
