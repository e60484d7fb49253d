"""The model as served by MLflow, from the folder of the saved model, which contains this code and no pickle."""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel

from . import contract, tables

DEVICE = "MLFLOW_DEFAULT_PREDICTION_DEVICE"
"""MLflow's variable. `beampermit serve` sets it to `cuda` where the contract has that, and the machine a GPU."""


class Served(PythonModel):
    """Inputs by the contract's names, `{"name": array of shape (rows, *shape)}` -> a table with the outputs."""

    def load_context(self, context: Any) -> None:
        """Read the contract and the model's files from the saved model."""
        from ..model import Model  # not for stage `package`, which needs neither torch nor the seconds that it takes

        file = Path(context.artifacts[contract.CONTRACT.name])
        self.signals = contract.of(contract.ForPackage, file)
        self.model = Model.load(file.parent, **on_device(Model.load))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """The outputs, one row for each row of the inputs; an array is a list.

        MLflow passes a dict of arrays for named tensors, for which it has no type hint; a table works as well.
        """
        inputs = {}
        for signal in self.signals.inputs:
            values = np.asarray(list(model_input[signal.name]), tables.kind_of(signal.shape))
            inputs[signal.name] = values.reshape(len(values), *signal.shape)
        outputs = self.model(inputs)
        columns = {output.name: np.asarray(outputs[output.name], np.float64) for output in self.signals.outputs}
        return pd.DataFrame({name: values.tolist() if values.ndim > 1 else values for name, values in columns.items()})


def on_device(load: Callable[..., Any]) -> dict[str, str]:
    """What `Model.load` gets besides the folder: the device, where somebody chose one and it takes one."""
    device = os.environ.get(DEVICE)
    return {"device": device} if device and "device" in signature(load).parameters else {}
