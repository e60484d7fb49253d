"""Compare weights tensor by tensor; safetensors files are read with numpy alone."""

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
            return f"{self.name} cannot be compared"
        return f"{self.name} by {self.absolute:.3g} ({100 * self.relative:.2g} %)"


def compare_weights(before: Path, after: Path, tolerance: float, prefix: str = "") -> tuple[Tensor, ...]:
    """Compare the tensors of two safetensors files. Raises `BadInput` for an invalid file."""
    old, new = _read(before), _read(after)
    return tuple(
        _compare(f"{prefix}{name}", old.get(name), new.get(name), tolerance) for name in sorted(old.keys() | new.keys())
    )


def most_different(tensors: tuple[Tensor, ...]) -> Tensor | None:
    """The tensor that differs most, incomparable ones first; None where all are identical."""
    different = [tensor for tensor in tensors if tensor.likeness is not Likeness.IDENTICAL]
    return max(different, key=lambda tensor: float("inf") if tensor.absolute is None else tensor.absolute, default=None)


def _compare(name: str, old: Raw | None, new: Raw | None, tolerance: float) -> Tensor:
    import numpy as np

    shape = (old or new or ((),))[0]
    if old is None or new is None or old[:2] != new[:2]:
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
        likeness=Likeness.WITHIN if absolute <= tolerance else Likeness.DIFFERENT,
        absolute=absolute,
        relative=absolute / largest if largest else None,
    )


def _read(file: Path) -> dict[str, Raw]:
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(file.read_bytes())
    except (SafetensorError, OSError) as error:
        raise BadInput(f"not a safetensors file: {error}", file=file) from None
    return {name: (tuple(tensor["shape"]), tensor["dtype"], bytes(tensor["data"])) for name, tensor in tensors}


def _values(kind: str, data: bytes) -> np.ndarray | None:
    """As float64; None for a type unknown to numpy."""
    import numpy as np

    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
    return np.frombuffer(data, KINDS[kind]).astype(np.float64) if kind in KINDS else None
