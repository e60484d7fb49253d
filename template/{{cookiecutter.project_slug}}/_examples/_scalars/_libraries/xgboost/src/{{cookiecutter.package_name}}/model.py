"""Example: replace with yours. Gradient-boosted trees, saved as UBJ, which contains no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from pydantic import BaseModel, ConfigDict, Field

from .features import Features, Outputs
from .pipeline.processes import ALONE, Processes
from .pipeline.tables import Arrays, Rows

NEEDS = ("{{ 'xgboost' if cookiecutter.environment == 'conda-lock' else 'xgboost-cpu' }}",)
"""Packages that a loaded model needs."""
Curve = list[tuple[int, float, float]]
"""Round, loss, validation loss."""


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
    rounds: int = Field(gt=0)
    depth: int = Field(gt=0, le=20)
    learning_rate: float = Field(gt=0, le=1)
    share: float = Field(default=1.0, gt=0, le=1)
    """Part of the rows, and of the features, that each tree sees."""


class Model:
    """Features, a booster for each quantity and each group of classes, and scaling of the outputs."""

    def __init__(self, features: Features, outputs: Outputs, boosters: list[xgboost.Booster]):
        self.features = features
        self.outputs = outputs
        self.boosters = boosters

    def __call__(self, inputs: Arrays) -> Arrays:
        """Outputs by their names, shape (rows,), from inputs of the same shape; NaN where an input is not finite."""
        usable = self.features.usable(inputs)
        values = np.full((len(usable), len(self.outputs.names)), np.nan)
        if usable.any():
            features = self.features({name: column[usable] for name, column in inputs.items()})
            for places, booster in zip(_parts(self.outputs), self.boosters, strict=True):
                found = booster.inplace_predict(features, predict_type="margin")
                values[np.ix_(usable, places)] = np.asarray(found).reshape(len(features), len(places))
        return self.outputs.answers(values, logits=True)

    def save(self, folder: Path) -> None:
        """Write `trees-0.ubj`, `trees-1.ubj`, ..., `features.json` and `outputs.json`."""
        self.features.save(folder / "features.json")
        self.outputs.save(folder / "outputs.json")
        for number, booster in enumerate(self.boosters):
            booster.save_model(folder / f"trees-{number}.ubj")

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Load a saved model."""
        outputs = Outputs.load(folder / "outputs.json")
        boosters = []
        for number in range(len(_parts(outputs))):
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(folder / f"trees-{number}.ubj")
            boosters.append(booster)
        return cls(Features.load(folder / "features.json"), outputs, boosters)


def fit(train: Rows, validation: Rows, params: Training, team: Processes = ALONE) -> tuple[Model, Curve]:  # noqa: ARG001
    """The trained model and its loss curve. The same arguments always give the same trees."""
    features = Features.fit(train.inputs, params.categories)
    outputs = Outputs.fit(train.targets, params.classes, params.logarithm)
    boosters, losses = [], []
    for places in _parts(outputs):
        watched = {name: _matrix(features, outputs, rows, places) for name, rows in _watched(train, validation)}
        record: dict[str, Any] = {}
        booster = xgboost.train(
            _settings(params, places in outputs.groups, len(places)),
            watched["train"],
            params.rounds,
            evals=[(matrix, name) for name, matrix in watched.items()],
            evals_result=record,
            verbose_eval=False,
        )
        boosters.append(booster)
        losses.append([next(iter(record[name].values())) for name in watched])
    curve = np.mean(losses, axis=0).round(6)
    return Model(features, outputs, boosters), [(number, *pair) for number, pair in enumerate(curve.T.tolist(), 1)]


def _watched(train: Rows, validation: Rows) -> tuple[tuple[str, Rows], ...]:
    return ("train", train), ("validation", validation)


def _parts(outputs: Outputs) -> list[tuple[int, ...]]:
    """Places of the outputs of each booster."""
    return [*((place,) for place in outputs.quantities), *outputs.groups]


def _settings(params: Training, classes: bool, count: int) -> dict[str, Any]:
    objective = {"objective": "reg:squarederror"}
    if classes:
        several = {"objective": "multi:softprob", "num_class": count}
        objective = {"objective": "binary:logistic"} if count == 1 else several
    return {
        **objective,
        "seed": params.seed,
        "max_depth": params.depth,
        "eta": params.learning_rate,
        "subsample": params.share,
        "colsample_bytree": params.share,
        "tree_method": "hist",
        "nthread": 1,
    }


def _matrix(features: Features, outputs: Outputs, rows: Rows, places: tuple[int, ...]) -> xgboost.DMatrix:
    targets = outputs.learned(rows.targets)[:, places]
    labels = targets.argmax(axis=1) if len(places) > 1 else targets[:, 0]
    return xgboost.DMatrix(features(rows.inputs), labels, nthread=1)
