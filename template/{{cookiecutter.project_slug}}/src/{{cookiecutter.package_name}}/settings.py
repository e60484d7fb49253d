"""What the contract and params.yaml say, read in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

CONTRACT = Path("contract.yaml")
PARAMS = Path("params.yaml")


class Part(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Split(Part):
    """Shares of the acquisitions, in order of time, and of the devices; what is left over is the test split's."""

    train: float = Field(gt=0, lt=1)
    validation: float = Field(gt=0, lt=1)
    seed: int


class Transforms(Part):
    """Which features the model sees."""

    features: tuple[str, ...] = Field(min_length=1)


class Training(Part):
    """How the network is trained."""

    seed: int
    hidden: int = Field(gt=0, le=4096)
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "mixed"] = "float32"
    """Of the products in the network: `mixed` takes bfloat16 for them, with weights of float32."""


class Params(Part):
    """`params.yaml`."""

    split: Split
    transforms: Transforms
    train: Training


def params(path: Path = PARAMS) -> Params:
    """The parameters. Raises pydantic's `ValidationError`, which names the key."""
    return Params.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def contract(path: Path = CONTRACT) -> dict[str, Any]:
    """The contract as plain values; `beampermit contract check` is what judges it."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def threshold() -> float:
    """The score above which a signal counts as faulty: the alarm limit HIGH of the output."""
    return float(contract()["signals"]["outputs"][0]["high"])
