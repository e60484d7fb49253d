"""Write the saved model, an MLflow pyfunc of code, safetensors and JSON, and `manifest.json` with SHA-256 digests."""

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
    "MLFLOW_UV_AUTO_DETECT": "false",  # the saved model must not depend on whether uv is installed
}
SERVING = ("mlflow-skinny", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "safetensors", "torch")


def save(folder: Path, example: np.ndarray) -> None:
    """Write the saved model; `example`: turns, shape (rows, 250), mm. The same inputs always give the same bytes."""
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
    _make_deterministic(folder)


def _requirements() -> list[str]:
    """The packages for serving, in the installed versions."""
    return [f"{name}=={version(name)}" for name in SERVING]


def _make_deterministic(folder: Path) -> None:
    """Replace the random id, the time and the absolute path that MLflow writes."""
    file = folder / "MLmodel"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    weights = hashlib.sha256((folder / "artifacts/weights.safetensors").read_bytes()).hexdigest()
    content["model_uuid"] = UUID(weights[:32]).hex
    content.pop("utc_time_created", None)
    flavor = content["flavors"]["python_function"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    file.write_text(yaml.safe_dump(content, sort_keys=True), encoding="utf-8")


def manifest(folders: list[Path], *more: Path) -> dict[str, object]:
    """Path -> SHA-256 of every file in `folders` and of the files `more`."""
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
    content = manifest([model, dataset, TRAINED], Path(contract["evaluation"]["scores"]))
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
