"""The locked environment, and what tests need of the machine."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from beampermit.contract.direction import Loosens
from beampermit.contract.part import InsidePath, Part, Version

RESERVED = ("BEAMPERMIT_", "GITHUB_", "ACTIONS_", "GIT_", "PYTEST_", "PYTHON")


def _passable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("a variable's name has letters, digits and underscores, such as LM_LICENSE_FILE")
    if name.startswith(RESERVED):
        raise ValueError(f"names that begin with {', '.join(RESERVED)} are the checker's and the job's own")
    return name


VariableName = Annotated[str, AfterValidator(_passable)]


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
    variables: Annotated[tuple[VariableName, ...], Loosens.WHEN_ENTRY_ADDED] = ()
    """Names of environment variables of the machine that the project's code gets when it is checked.

    It always gets those that say where things are and what the machine has, such as `PATH`, `HOME`,
    `CUDA_VISIBLE_DEVICES` and the locale; no other. Never name a secret: whoever may open a pull request can read it.
    """


class Gpu(Part):
    """The minimum GPU on which tests marked `gpu` must pass."""

    capability: Annotated[Version, Loosens.WHEN_OLDER]
    """Compute capability, such as "7.0"."""
    driver: Annotated[Version | None, Loosens.WHEN_OLDER] = None
    """Driver version, such as "535"."""
    memory: Annotated[float | None, Field(gt=0), Loosens.WHEN_SMALLER] = None
    """Total memory, MiB."""


def _notebook(value: str) -> str:
    if not value.endswith(".ipynb"):
        raise ValueError("a notebook's name ends in .ipynb, such as notebooks/*.ipynb")
    return value


class Notebooks(Part):
    """What is asked of Jupyter notebooks in the repository (TST005). Without this part, nothing is."""

    outputs: Annotated[Literal["refused", "allowed"], Loosens.WHEN_LATER_CHOICE] = "allowed"
    """Whether notebooks may be committed with outputs and execution counts, which nobody can review."""
    run: Annotated[tuple[Annotated[InsidePath, AfterValidator(_notebook)], ...], Loosens.WHEN_ENTRY_REMOVED] = ()
    """Notebooks that must run in the locked environment, without a cell that raises; `*` stands for any text."""


LeftOut = Annotated[str, Field(pattern=r"^([A-Za-z_]\w*|tests/[\w./-]+)$")]


class Tests(Part):
    """Which tests must pass, and what they need of the machine."""

    unit: Annotated[int, Field(ge=0), Loosens.WHEN_SMALLER] = 0
    """At least so many tests in `tests/unit` must pass (TST001); skipped tests and expected failures do not count."""
    integration: Annotated[int, Field(ge=0), Loosens.WHEN_SMALLER] = 0
    """At least so many tests in `tests/integration` must pass (TST002)."""
    left_out: Annotated[tuple[LeftOut, ...], Loosens.WHEN_ENTRY_ADDED] = ()
    """Marks such as `slow`, and paths such as `tests/unit/data`, whose tests need not run; all others must."""
    style: Annotated[Literal["required", "off"], Loosens.WHEN_LATER_CHOICE] = "off"
    """Whether the hooks of `.pre-commit-config.yaml` must pass (TST004): on the files that a branch changes, and on all
    for a release."""
    gpu: Gpu | None = None
    """If absent, no test may be marked `gpu` (TST003)."""
