"""Accelerator variants: each is a file of virtual packages, as conda-lock reads it, and a lock beside it.

`virtual-packages.yml` belongs to `conda-lock.yml`, and `cuda.virtual-packages.yml` to `cuda.conda-lock.yml`. So a lock
for machines with a GPU is made where there is none, and conda-lock and micromamba read each file as it is.
"""

from __future__ import annotations

from pathlib import Path

FILE = "conda-lock.yml"
VIRTUAL = ("virtual-packages.yml", "virtual-packages.yaml")


def variants(root: Path) -> tuple[str, ...]:
    """The variants that the folder declares, the one without a name first."""
    named = {path.name.removesuffix(f".{name}") for name in VIRTUAL for path in root.glob(f"*.{name}")}
    return ("", *sorted(name for name in named if name and not name.startswith(".")))


def lock_file(variant: str) -> str:
    """The name of a variant's lock: micromamba knows a lock by this ending."""
    return f"{variant}.{FILE}" if variant else FILE


def virtual_packages(root: Path, variant: str) -> Path | None:
    """The file that says what a variant's machines offer; None where conda-lock's own assumptions hold."""
    prefix = f"{variant}." if variant else ""
    return next((root / f"{prefix}{name}" for name in VIRTUAL if (root / f"{prefix}{name}").is_file()), None)
