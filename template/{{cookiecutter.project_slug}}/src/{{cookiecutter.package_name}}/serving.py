"""The model as served by MLflow, which runs this file from the folder of the saved model. It contains no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from {{ cookiecutter.package_name }}.model import FaultModel


class Served(PythonModel):
    """Turns in, scores out: `{"turns": array of shape (rows, 250), float32, mm}` -> a table with the column `score`."""

    def load_context(self, context: Any) -> None:
        """Read weights and transform from the saved model."""
        self.model = FaultModel.load(Path(context.artifacts["weights"]), Path(context.artifacts["transform"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Scores between 0 and 1; NaN for a row with a turn that is not finite.

        MLflow passes a dict of arrays for a named tensor, for which it has no type hint; a table works as well.
        """
        turns = np.stack(list(model_input["turns"])).astype(np.float32)
        return pd.DataFrame({"score": self.model(turns)})


set_model(Served())
