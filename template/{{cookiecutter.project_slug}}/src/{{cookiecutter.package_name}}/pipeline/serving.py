"""What MLflow runs to load the saved model: it stands beside the folder `code` there, and names no package itself."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from mlflow.models import set_model

FOLDER = Path(__file__).resolve().parent
PACKAGE = next((FOLDER / "code").glob("*/pipeline"), FOLDER).parent.name

set_model(import_module(f"{PACKAGE}.pipeline.served").Served())
