"""A tiny saved model: the mean of three turns, and whatever defect a test plants in it."""

from __future__ import annotations

from pathlib import Path

from beampermit.contract.signals import Signals

PAGE = """\
flavors:
  python_function:
    code: code
    loader_module: mlflow.pyfunc.loaders.code_model
    model_code_path: serving.py
saved_input_example_info: {artifact_path: input_example.json, type: ndarray}
signature:
  inputs: '%s'
  outputs: '[{"name": "score", "type": "double", "required": true}]'
  params: null
"""
TENSOR = '[{"name": "turns", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}]'
SERVING = """\
import os
import numpy as np, pandas as pd, mlflow
from tiny import mean
class Served(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        print("loading")
        LOAD
    def keep(self, found, last):
        self.seen = last
        return found
    def predict(self, context, model_input, params=None):
        turns = np.stack(list(model_input["turns"]))
        return RESULT
mlflow.models.set_model(Served())
"""
RESULT = 'pd.DataFrame({"score": mean(turns)})'


def declared(*shape: int, rows_of: tuple[int, ...] = (3,), name: str = "score") -> Signals:
    """The signals of its contract, with an output of this shape."""
    turns = {"name": "turns", "source": "derived", "unit": "mm", "range": [-1e6, 1e6], "shape": rows_of}
    score = {"name": name, "source": "derived", "unit": "mm", "range": [-1e6, 1e6], "shape": shape}
    return Signals.model_validate({"inputs": [turns], "outputs": [score]})


SIGNALS = declared()


def saved(folder: Path, *, load: str = "pass", result: str = RESULT, inputs: str = TENSOR) -> Path:
    """A tiny saved model: the mean of three turns, by code that it brings along."""
    (folder / "code").mkdir(parents=True)
    (folder / "code/tiny.py").write_text("def mean(turns):\n    return turns.mean(axis=1)\n")
    (folder / "serving.py").write_text(SERVING.replace("LOAD", load).replace("RESULT", result))
    (folder / "MLmodel").write_text(PAGE % inputs)
    (folder / "input_example.json").write_text('{"turns": [[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]]}')
    return folder
