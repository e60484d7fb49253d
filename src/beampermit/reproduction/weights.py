"""Weights tensor by tensor: identical, within tolerance, or different. Reads safetensors with numpy alone."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.errors import BadInput
from beampermit.record import Record

if TYPE_CHECKING:
    import numpy as np

Raw = tuple[tuple[int, ...], str, bytes]
"""Shape, type and bytes of a tensor."""
KINDS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "u1",
}  # fmt: skip


class Likeness(StrEnum):
    """How two tensors of the same name compare."""

    IDENTICAL = "identical"
    WITHIN = "within tolerance"
    DIFFERENT = "different"


class Tensor(Record):
    """One tensor. `absolute` is the largest difference of an element, `relative` that by the largest element.

    Both are None where no difference is a number: another shape, only on one side, NaN, a type numpy does not know.
    """

    name: str
    shape: tuple[int, ...]
    likeness: Likeness
    absolute: float | None
    relative: float | None

    @property
    def words(self) -> str:
        """Such as `0.weight by 0.0123 (1.5 %)`."""
        if self.absolute is None or self.relative is None:
            return f"{self.name} cannot be compared"
        return f"{self.name} by {self.absolute:.3g} ({100 * self.relative:.2g} %)"


def compare(before: Path, after: Path, tolerance: float, prefix: str = "") -> tuple[Tensor, ...]:
    """The tensors of two safetensors files, by name. Raises `BadInput` for a file that is none."""
    old, new = _read(before), _read(after)
    return tuple(
        _compared(f"{prefix}{name}", old.get(name), new.get(name), tolerance)
        for name in sorted(old.keys() | new.keys())
    )


def worst(tensors: tuple[Tensor, ...]) -> Tensor | None:
    """The one that differs most; one that cannot be compared before all others. None where all are identical."""
    unlike = [tensor for tensor in tensors if tensor.likeness is not Likeness.IDENTICAL]
    return max(unlike, key=lambda one: float("inf") if one.absolute is None else one.absolute, default=None)


def _compared(name: str, old: Raw | None, new: Raw | None, tolerance: float) -> Tensor:
    import numpy as np

    shape = (old or new or ((),))[0]
    if old is None or new is None or old[:2] != new[:2]:
        return Tensor(name=name, shape=shape, likeness=Likeness.DIFFERENT, absolute=None, relative=None)
    if old[2] == new[2]:
        return Tensor(name=name, shape=shape, likeness=Likeness.IDENTICAL, absolute=0.0, relative=0.0)
    one, other = _numbers(*old[1:]), _numbers(*new[1:])
    absolute = float(np.abs(one - other).max()) if one is not None and other is not None else float("nan")
    if one is None or not np.isfinite(absolute):  # NaN too
        return Tensor(name=name, shape=shape, likeness=Likeness.DIFFERENT, absolute=None, relative=None)
    largest = float(np.abs(one).max())
    return Tensor(
        name=name,
        shape=shape,
        likeness=Likeness.WITHIN if absolute <= tolerance else Likeness.DIFFERENT,
        absolute=absolute,
        relative=absolute / largest if largest else None,
    )


def _read(file: Path) -> dict[str, Raw]:
    from safetensors import SafetensorError, deserialize

    try:
        found = deserialize(file.read_bytes())
    except (SafetensorError, OSError) as error:
        raise BadInput(f"not a safetensors file: {error}", file=file) from None
    return {name: (tuple(one["shape"]), one["dtype"], bytes(one["data"])) for name, one in found}


def _numbers(kind: str, data: bytes) -> np.ndarray | None:
    """The values as float64; None for a type that numpy does not know."""
    import numpy as np

    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
    return np.frombuffer(data, KINDS[kind]).astype(np.float64) if kind in KINDS else None
