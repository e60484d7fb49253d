"""Example: replace with yours. What the model takes and gives: scaled numbers, a column for each category, probabilities.

Each is one object, fitted in training, saved as JSON and used in service.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .pipeline.tables import Arrays

FARTHEST = 10.0
"""Scaled numbers are clipped at this many standard deviations."""
SMALLEST = 1e-12
"""Of a standard deviation, by which is divided."""


@dataclass(frozen=True)
class Features:
    """Inputs with mean 0 and standard deviation 1 on the training split, and a 1 at the place of each category.

    `categories` has for each input in `names` how many values it chooses from by their places 0, 1, ...; 0 for a number.
    """

    names: tuple[str, ...]
    categories: tuple[int, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, inputs: Arrays, categories: Mapping[str, int]) -> Features:
        """Learn centre and scale from the inputs, shape (rows,) each. Raises `ValueError` for an unknown category."""
        if unknown := sorted(set(categories) - set(inputs)):
            raise ValueError(f"params.yaml: train.categories: {unknown[0]!r} is not an input")
        values = np.stack([*inputs.values()], axis=1)
        scale = np.maximum(values.std(axis=0), SMALLEST)
        counts = tuple(categories.get(name, 0) for name in inputs)
        return cls(tuple(inputs), counts, tuple(values.mean(axis=0).tolist()), tuple(scale.tolist()))

    @property
    def count(self) -> int:
        """Number of features."""
        return sum(count or 1 for count in self.categories)

    def __call__(self, inputs: Arrays) -> np.ndarray:
        """Features of the inputs, shape (rows,) each -> (rows, features), float32; each row for itself."""
        columns = []
        for name, count, centre, scale in zip(self.names, self.categories, self.centre, self.scale, strict=True):
            values = np.asarray(inputs[name], np.float64)
            if count:
                columns.append(values[:, None] == np.arange(count))
            else:
                with np.errstate(over="ignore"):  # an input that did not vary in training is divided by almost nothing
                    columns.append(((values - centre) / scale).clip(-FARTHEST, FARTHEST)[:, None])
        return np.concatenate(columns, axis=1).astype(np.float32)

    def usable(self, inputs: Arrays) -> np.ndarray:
        """Which rows have a finite value of each input, shape (rows,)."""
        return np.all([np.isfinite(inputs[name]) for name in self.names], axis=0)

    def save(self, path: Path) -> None:
        """Write JSON."""
        _write(path, self)

    @classmethod
    def load(cls, path: Path) -> Features:
        """Load saved features."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{key: tuple(values) for key, values in content.items()})


@dataclass(frozen=True)
class Outputs:
    """What the model learns for its outputs `names`: scaled quantities, their logarithms, and classes.

    `groups` are places of outputs that are probabilities: one of yes or no, several of one class each.
    """

    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    logarithm: tuple[bool, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, targets: Arrays, classes: Sequence[Sequence[str]], logarithm: Sequence[str] = ()) -> Outputs:
        """Learn centre and scale from the targets, shape (rows,) each. Raises `ValueError` for an unknown output."""
        names = tuple(targets)
        if unknown := sorted({*logarithm, *(name for group in classes for name in group)} - set(names)):
            raise ValueError(f"params.yaml: train: {unknown[0]!r} is not an output with a target")
        if odd := next((name for name in logarithm if targets[name].min() <= 0), None):
            raise ValueError(f"params.yaml: train.logarithm: {odd!r} is not always positive")
        groups = tuple(tuple(names.index(name) for name in group) for group in classes)
        grouped = {place for group in groups for place in group}
        learned = [np.log(targets[name]) if name in logarithm else targets[name] for name in names]
        return cls(
            names,
            groups,
            tuple(name in logarithm for name in names),
            tuple(0.0 if place in grouped else float(one.mean()) for place, one in enumerate(learned)),
            tuple(1.0 if place in grouped else max(float(one.std()), SMALLEST) for place, one in enumerate(learned)),
        )

    @property
    def quantities(self) -> tuple[int, ...]:
        """Places of the outputs that are no probabilities."""
        grouped = {place for group in self.groups for place in group}
        return tuple(place for place in range(len(self.names)) if place not in grouped)

    def learned(self, targets: Arrays) -> np.ndarray:
        """Targets as the model learns them, (rows, outputs), float32: scaled, and 0 or 1 of a class."""
        columns = [
            ((np.log(targets[name]) if logarithm else targets[name]) - centre) / scale
            for name, logarithm, centre, scale in zip(self.names, self.logarithm, self.centre, self.scale, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    def answers(self, values: np.ndarray, *, logits: bool) -> Arrays:
        """Outputs from what was learned, (rows, outputs), in their units; of classes logits, or probabilities."""
        values = values.astype(np.float64)
        found = values * self.scale + self.centre
        found[:, self.logarithm] = np.exp(found[:, self.logarithm])
        for group in self.groups:
            own = values[:, group]
            found[:, group] = _probabilities(own) if logits else own.clip(0, 1)
        return {name: found[:, place] for place, name in enumerate(self.names)}

    def save(self, path: Path) -> None:
        """Write JSON."""
        _write(path, self)

    @classmethod
    def load(cls, path: Path) -> Outputs:
        """Load saved outputs."""
        content = json.loads(path.read_text(encoding="utf-8"))
        content["groups"] = map(tuple, content["groups"])
        return cls(**{key: tuple(values) for key, values in content.items()})


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """Of yes for one logit, of each class for several; (rows, classes), float64."""
    if logits.shape[1] == 1:
        return 1 / (1 + np.exp(-logits.clip(-500, 500)))
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _write(path: Path, record: Features | Outputs) -> None:
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")
