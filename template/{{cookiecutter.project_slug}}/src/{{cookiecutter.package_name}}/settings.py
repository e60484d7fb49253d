"""Read contract.yaml and params.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

CONTRACT = Path("contract.yaml")
PARAMS = Path("params.yaml")


class Part(BaseModel):
    """Immutable; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Split(Part):
    """Fractions of acquisitions, in order of time, and of devices; the rest is the test split."""

    train: float = Field(gt=0, lt=1)
    validation: float = Field(gt=0, lt=1)
    seed: int


class Transforms(Part):
    """Features of the model."""

    features: tuple[str, ...] = Field(min_length=1)


class Training(Part):
    """Training of the network."""

    seed: int
    hidden: int = Field(gt=0, le=4096)
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "mixed"] = "float32"
    """`mixed`: products in bfloat16, weights in float32."""


class Params(Part):
    """`params.yaml`."""

    split: Split
    transforms: Transforms
    train: Training


def params(path: Path = PARAMS) -> Params:
    """Raises pydantic's `ValidationError`, which names the key."""
    return Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def contract(path: Path = CONTRACT) -> dict[str, Any]:
    """The contract as plain values; `beampermit contract check` validates it."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def threshold() -> float:
    """The score from which a signal counts as faulty: the HIGH limit of the output."""
    return float(contract()["signals"]["outputs"][0]["high"])
