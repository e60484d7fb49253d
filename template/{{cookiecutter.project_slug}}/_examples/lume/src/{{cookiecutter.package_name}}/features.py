"""What the imported model does to its inputs and answers: one object, saved as JSON, and used in service as before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from .pipeline.tables import Arrays


class Step(BaseModel):
    """Of each column: (value - offset) / coefficient before the network, value * coefficient + offset after it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offset: tuple[float, ...]
    coefficient: tuple[float, ...]


class Scaling(BaseModel):
    """`scaling.json`: names in the order of the network's columns, and the steps in theirs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Literal["double", "single"]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    before: tuple[Step, ...]
    after: tuple[Step, ...]


@dataclass(frozen=True)
class Features:
    """Scaling of inputs and of answers."""

    scaling: Scaling

    @property
    def dtype(self) -> type[np.floating]:
        """Of all numbers that the network sees."""
        return np.float64 if self.scaling.precision == "double" else np.float32

    def __call__(self, inputs: Arrays) -> np.ndarray:
        """Inputs by name, shape (rows,) each -> what the network takes, shape (rows, inputs); each row for itself."""
        values = np.stack([inputs[name] for name in self.scaling.inputs], axis=1).astype(self.dtype)
        for step in self.scaling.before:
            values = (values - np.array(step.offset, self.dtype)) / np.array(step.coefficient, self.dtype)
        return values

    def answers(self, values: np.ndarray) -> Arrays:
        """What the network gives, shape (rows, outputs) -> outputs by name, shape (rows,) each."""
        for step in self.scaling.after:
            values = values * np.array(step.coefficient, self.dtype) + np.array(step.offset, self.dtype)
        return {name: values[:, place] for place, name in enumerate(self.scaling.outputs)}

    def targets(self, outputs: Arrays) -> np.ndarray:
        """What the network should give for outputs by name: the reverse of `answers`, shape (rows, outputs)."""
        values = np.stack([outputs[name] for name in self.scaling.outputs], axis=1).astype(self.dtype)
        for step in reversed(self.scaling.after):
            values = (values - np.array(step.offset, self.dtype)) / np.array(step.coefficient, self.dtype)
        return values

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.scaling.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Features:
        """Load a saved scaling."""
        return cls(Scaling.model_validate_json(path.read_text(encoding="utf-8")))
