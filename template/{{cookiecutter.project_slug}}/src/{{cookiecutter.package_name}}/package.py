"""Make the saved model: an MLflow pyfunc of code, safetensors and JSON, and `manifest.json` with the sha256 of every file."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

import mlflow.pyfunc
import numpy as np
import yaml
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from . import settings, signals
from .train import TRAINED

CODE = Path(__file__).parent
EXAMPLE_ROWS = 2
MLFLOW = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",  # what is in the model does not depend on whether uv is on this machine
}
SERVING = ("mlflow-skinny", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "safetensors", "torch")


def save(folder: Path, example: np.ndarray) -> None:
    """Write the saved model; `example` are turns, shape (rows, 250), mm. The same weights and code give the same bytes."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    shutil.rmtree(folder, ignore_errors=True)
    mlflow.pyfunc.save_model(
        path=folder,
        python_model=str(CODE / "serving.py"),
        artifacts={
            "weights": str(TRAINED / "weights.safetensors"),
            "transform": str(TRAINED / "transform.json"),
            "contract": str(settings.CONTRACT),
        },
        code_paths=[str(CODE)],
        signature=ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, signals.TURNS), "turns")]),
            outputs=Schema([ColSpec("float", "score")]),
        ),
        input_example={"turns": example},
        pip_requirements=_requirements(),
    )
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
    _settle(folder)


def _requirements() -> list[str]:
    """What serving needs, in the versions this model was made with."""
    return [f"{name}=={version(name)}" for name in SERVING]


def _settle(folder: Path) -> None:
    """Replace what MLflow takes from chance, clock and folder, so that the same model is the same bytes."""
    file = folder / "MLmodel"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    weights = hashlib.sha256((folder / "artifacts/weights.safetensors").read_bytes()).hexdigest()
    content["model_uuid"] = UUID(weights[:32]).hex
    content.pop("utc_time_created", None)
    served = content["flavors"]["python_function"]
    served["model_code_path"] = Path(served["model_code_path"]).name
    file.write_text(yaml.safe_dump(content, sort_keys=True), encoding="utf-8")


def manifest(folders: list[Path], *more: Path) -> dict[str, object]:
    """sha256 of every file below the folders, and of `more`, by path."""
    files = sorted([*(path for folder in folders for path in folder.rglob("*") if path.is_file()), *more])
    digests = {path.as_posix(): f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files}
    return {"algorithm": "sha256", "files": digests}


def main() -> None:
    """Stage `package`."""
    os.environ.update(MLFLOW)
    contract = settings.contract()
    model = Path(contract["model"]["path"])
    dataset = Path(contract["dataset"]["splits"]["test"]).parent
    test = signals.turns_of(signals.read(Path(contract["evaluation"]["inputs"])).head(EXAMPLE_ROWS))
    save(model, test)
    file = Path(contract["model"]["manifest"])
    found = manifest([model, dataset], Path(contract["evaluation"]["scores"]))
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
