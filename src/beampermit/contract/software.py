"""Where the model's software comes from, and what its tests need of the machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from beampermit.contract.part import Part, Version


class Environment(Part):
    """Where the model's software comes from."""

    backend: Literal["uv", "conda-lock"] = "uv"
    """What makes and reads the lock."""
    platforms: tuple[str, ...] = Field(default=("linux-x86_64",), min_length=1)
    """Platforms that the lock must cover."""
    accelerators: tuple[Literal["cpu", "cuda"], ...] = Field(default=("cpu",), min_length=1)
    """Variants that the lock must cover."""
    indexes: tuple[str, ...] = ()
    """Package indexes or channels the lock may name; `beampermit env lock --record` writes those it used."""


class Gpu(Part):
    """The least GPU that the tests marked `gpu` are to pass on."""

    capability: Version
    """Compute capability, such as "7.0"."""
    driver: Version | None = None
    """Version of the driver, such as "535"."""
    memory: Annotated[float, Field(gt=0)] | None = None
    """MiB in all."""


class Tests(Part):
    """What tests need of the machine."""

    gpu: Gpu | None = None
    """Absent, the project promises nothing on a GPU, and no test may be marked `gpu` (TST003)."""
