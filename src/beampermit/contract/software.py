"""The locked environment, and what tests need of the machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from beampermit.contract.direction import Loosens
from beampermit.contract.part import Part, Version


class Environment(Part):
    """The locked environment."""

    backend: Annotated[Literal["uv", "conda-lock"], Loosens.NEVER] = "uv"
    """The tool that makes the lock."""
    platforms: Annotated[tuple[str, ...], Field(min_length=1), Loosens.WHEN_ENTRY_REMOVED] = ("linux-x86_64",)
    """Platforms that the lock must cover."""
    accelerators: Annotated[tuple[Literal["cpu", "cuda"], ...], Field(min_length=1), Loosens.WHEN_ENTRY_REMOVED] = (
        "cpu",
    )
    """Variants that the lock must cover."""
    indexes: Annotated[tuple[str, ...], Loosens.WHEN_ENTRY_ADDED] = ()
    """Package indexes or channels the lock may name; `beampermit env lock --record` writes those it used."""


class Gpu(Part):
    """The minimum GPU on which tests marked `gpu` must pass."""

    capability: Annotated[Version, Loosens.WHEN_OLDER]
    """Compute capability, such as "7.0"."""
    driver: Annotated[Version | None, Loosens.WHEN_OLDER] = None
    """Driver version, such as "535"."""
    memory: Annotated[float | None, Field(gt=0), Loosens.WHEN_SMALLER] = None
    """Total memory, MiB."""


class Tests(Part):
    """What tests need of the machine."""

    gpu: Gpu | None = None
    """If absent, no test may be marked `gpu` (TST003)."""
