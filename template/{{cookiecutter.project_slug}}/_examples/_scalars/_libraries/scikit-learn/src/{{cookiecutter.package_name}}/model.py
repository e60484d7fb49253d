"""Example: replace with yours. A random forest, saved and served as ONNX, which contains no code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from pydantic import BaseModel, ConfigDict, Field

from .features import Features, Outputs
from .pipeline.processes import ALONE, Processes
from .pipeline.tables import Arrays, Rows

NEEDS = ("onnxruntime",)
"""Packages that a loaded model needs; training needs scikit-learn and skl2onnx as well."""
Curve = list[tuple[int, float, float]]
"""Number of trees, loss, validation loss; one row, for a forest is not trained in steps."""
INPUT, OUTPUT = "features", "values"


class Training(BaseModel):
    """Section `train` of params.yaml; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    classes: tuple[tuple[str, ...], ...] = ()
    """Outputs that are probabilities: each list is one of yes or no, or several classes of which one is right."""
    categories: dict[str, int] = {}
    """Inputs that choose from so many values, by their places."""
    logarithm: tuple[str, ...] = ()
    """Positive outputs of which the logarithm is learned, so that relative errors count."""
    trees: int = Field(gt=0)
    leaf: int = Field(default=1, gt=0)
    """Fewest rows in a leaf."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Part of the features that each branch chooses from."""


class Model:
    """Features, the forest as an ONNX graph, and scaling of the outputs."""

    def __init__(self, features: Features, outputs: Outputs, graph: bytes):
        self.features = features
        self.outputs = outputs
        self.graph = graph
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, inputs: Arrays) -> Arrays:
        """Outputs by their names, shape (rows,), from inputs of the same shape; NaN where an input is not finite."""
        usable = self.features.usable(inputs)
        values = np.full((len(usable), len(self.outputs.names)), np.nan)
        if usable.any():
            features = self.features({name: column[usable] for name, column in inputs.items()})
            (found,) = self.session.run([OUTPUT], {INPUT: features})
            values[usable] = np.asarray(found).reshape(len(features), -1)
        return self.outputs.answers(values, logits=False)

    def save(self, folder: Path) -> None:
        """Write `model.onnx`, `features.json` and `outputs.json`."""
        self.features.save(folder / "features.json")
        self.outputs.save(folder / "outputs.json")
        (folder / "model.onnx").write_bytes(self.graph)

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Load a saved model."""
        features, outputs = Features.load(folder / "features.json"), Outputs.load(folder / "outputs.json")
        return cls(features, outputs, (folder / "model.onnx").read_bytes())


def fit(train: Rows, validation: Rows, params: Training, team: Processes = ALONE) -> tuple[Model, Curve]:  # noqa: ARG001
    """The trained model. The same arguments always give the same trees.

    The mean of a class over a leaf is its probability, so one forest has all outputs.
    """
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestRegressor

    features = Features.fit(train.inputs, params.categories)
    outputs = Outputs.fit(train.targets, params.classes, params.logarithm)
    known, learned = features(train.inputs), outputs.learned(train.targets)
    forest = RandomForestRegressor(
        params.trees, min_samples_leaf=params.leaf, max_features=params.share, random_state=params.seed, n_jobs=1
    )
    forest.fit(known, learned[:, 0] if learned.shape[1] == 1 else learned)
    graph = to_onnx(forest, known[:2], target_opset=18)
    graph.graph.name = "forest"
    rename = {graph.graph.input[0].name: INPUT, graph.graph.output[0].name: OUTPUT}
    for node in graph.graph.node:
        node.input[:] = [rename.get(name, name) for name in node.input]
        node.output[:] = [rename.get(name, name) for name in node.output]
    graph.graph.input[0].name, graph.graph.output[0].name = INPUT, OUTPUT
    graph.graph.output[0].type.tensor_type.shape.dim[-1].dim_value = learned.shape[1]  # skl2onnx always says 1
    losses = [_loss(forest.predict(features(one.inputs)), outputs.learned(one.targets)) for one in (train, validation)]
    return Model(features, outputs, graph.SerializeToString(deterministic=True)), [(params.trees, *losses)]


def _loss(values: np.ndarray, learned: np.ndarray) -> float:
    """Mean squared error of what is learned."""
    return round(float(((values.reshape(learned.shape) - learned) ** 2).mean()), 6)
