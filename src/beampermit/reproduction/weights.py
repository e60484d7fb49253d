"""Compare weights of any format, tensor by tensor or tree by tree; files that cannot be read, byte by byte."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract.tolerance import allowed
from beampermit.digest import sha256_file
from beampermit.errors import BadInput
from beampermit.models.weight_files import read_weights
from beampermit.record import Record

if TYPE_CHECKING:
    import numpy as np

Raw = tuple[tuple[int, ...], str, bytes]
"""Shape, type and bytes of a tensor."""
NUMERIC = re.compile(r"[<>|][fiub][1248]")
"""Types of numpy that are real numbers."""


class Likeness(StrEnum):
    IDENTICAL = "identical"
    WITHIN = "within tolerance"
    DIFFERENT = "different"


class Tensor(Record):
    """`absolute` is the largest difference of an element, `relative` its ratio to the largest element.

    Both are None where there is no finite difference: another shape, a missing tensor, NaN, a type unknown to numpy.
    """

    name: str
    shape: tuple[int, ...]
    likeness: Likeness
    absolute: float | None
    relative: float | None

    @property
    def text(self) -> str:
        """`0.weight by 0.0123 (1.5 %)`."""
        if self.absolute is None or self.relative is None:
            return f"{self.name}, of another shape, kind or content"
        return f"{self.name} by {self.absolute:.3g} ({100 * self.relative:.2g} %)"


def compare_weights(before: Path, after: Path, tolerance: float | str, prefix: str = "") -> tuple[Tensor, ...]:
    """Compare two files of weights, by their bytes where either cannot be read.

    A percentage is of the largest element of each tensor of `before`: tensors have units and scales of their own.
    """
    old, new = _read(before), _read(after)
    if old is None or new is None:
        likeness = Likeness.IDENTICAL if sha256_file(before) == sha256_file(after) else Likeness.DIFFERENT
        same = 0.0 if likeness is Likeness.IDENTICAL else None
        shape = (before.stat().st_size,)
        return (Tensor(name=f"{prefix}{before.name}", shape=shape, likeness=likeness, absolute=same, relative=same),)
    return tuple(
        _compare(f"{prefix}{name}", old.get(name), new.get(name), tolerance) for name in sorted(old.keys() | new.keys())
    )


def most_different(tensors: tuple[Tensor, ...]) -> Tensor | None:
    """The tensor that differs most, incomparable ones first; None where all are identical."""
    different = [tensor for tensor in tensors if tensor.likeness is not Likeness.IDENTICAL]
    return max(different, key=lambda tensor: float("inf") if tensor.absolute is None else tensor.absolute, default=None)


def _compare(name: str, old: Raw | None, new: Raw | None, tolerance: float | str) -> Tensor:
    import numpy as np

    shape = (old or new or ((),))[0]
    if old is None or new is None or old[:2] != new[:2] or len(old[2]) != len(new[2]):
        return Tensor(name=name, shape=shape, likeness=Likeness.DIFFERENT, absolute=None, relative=None)
    if old[2] == new[2]:
        return Tensor(name=name, shape=shape, likeness=Likeness.IDENTICAL, absolute=0.0, relative=0.0)
    before, after = _values(*old[1:]), _values(*new[1:])
    absolute = float(np.abs(before - after).max()) if before is not None and after is not None else float("nan")
    if before is None or not np.isfinite(absolute):
        return Tensor(name=name, shape=shape, likeness=Likeness.DIFFERENT, absolute=None, relative=None)
    largest = float(np.abs(before).max())
    return Tensor(
        name=name,
        shape=shape,
        likeness=Likeness.WITHIN if absolute <= allowed(tolerance, largest) else Likeness.DIFFERENT,
        absolute=absolute,
        relative=absolute / largest if largest else None,
    )


def _read(file: Path) -> dict[str, Raw] | None:
    try:
        return read_weights(file)
    except BadInput:
        return None


def _values(kind: str, data: bytes) -> np.ndarray | None:
    """As float64; None for a text, a type unknown to numpy, and half a number."""
    import numpy as np

    stored = "<u2" if kind == "BF16" else kind
    if not NUMERIC.fullmatch(stored) or len(data) % int(stored[2:]):
        return None
    values = np.frombuffer(data, stored)
    return (values if kind != "BF16" else (values.astype("<u4") << 16).view("<f4")).astype(np.float64)
