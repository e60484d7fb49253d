"""Arrays that go into a saved model and come out of it: a part of each `worker.py`, in the project's environment."""

# pandas and pyarrow are installed in the project's environment only.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class Refused(Exception):
    """The model, its example or its data cannot be used; the message says why."""


def tensor(column: Any, name: str) -> np.ndarray:
    """A column of numbers, of equally long lists or of lists of such as an array of shape (rows, *shape of a row)."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    shape = [len(column)]
    while pa.types.is_nested(column.type) and not column.null_count:
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) > 1:
            raise Refused(f"rows of {name!r} have {' or '.join(str(length) for length in sorted(lengths))} values")
        shape += lengths
        column = column.flatten()
    if column.null_count:
        raise Refused(f"{name!r} has nulls")
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(shape)


def shaped(values: np.ndarray, shape: Sequence[int], name: str) -> np.ndarray:
    """Rows in the `shape` of the signature, -1 for any length; a flat list of the right length takes that shape."""
    rows, own = len(values), values.shape[1:]
    if own == tuple(shape):
        return values
    if len(own) == len(shape) and all(length in (-1, side) for length, side in zip(shape, own, strict=True)):
        return values
    if len(own) > 1 or (-1 in shape and len(shape) > 1) or (-1 not in shape and math.prod(shape) != math.prod(own)):
        raise Refused(f"rows of {name!r} are {_words(own)}, the model takes {_words(shape)}")
    return values.reshape(rows, *shape)


def field(given: Any) -> dict[str, Any]:
    """An input or output of a model's signature."""
    shape = getattr(given, "shape", None)
    kind = getattr(given.type, "name", str(given.type))
    return {"name": given.name, "type": str(kind), "shape": None if shape is None else list(shape)}


def as_signed(schema: Any, inputs: dict[str, np.ndarray]) -> Any:
    """Arrays of shape (rows, *shape), by name, in the form and the types of the inputs of a model's signature."""
    names = schema.input_names() if schema.has_input_names() else list(inputs)
    if missing := [name for name in names if name not in inputs]:
        raise Refused(f"the model takes {missing[0]!r}, which is not an input")
    if not schema.is_tensor_spec():
        import pandas as pd

        columns = {
            name: _typed(inputs[name], _number_type(type_), name)
            for name, type_ in zip(names, schema.input_types(), strict=True)
        }
        return pd.DataFrame({name: values if values.ndim == 1 else list(values) for name, values in columns.items()})
    tensors = {
        name: _typed(shaped(inputs[name], spec.shape[1:], name), spec.type, name)
        for name, spec in zip(names, schema.inputs, strict=True)
    }
    return tensors if schema.has_input_names() else next(iter(tensors.values()))


def _number_type(given: Any) -> Any:
    """The type of the numbers in a column, or in the arrays of a column."""
    while hasattr(given, "dtype"):
        given = given.dtype
    return given.to_numpy()


def _typed(values: np.ndarray, kind: Any, name: str) -> np.ndarray:
    """The values in the type that the model takes; no whole number is made of one that is not."""
    import numpy as np

    kind = np.dtype(kind)
    if values.dtype == kind:
        return values
    if kind.kind in "iu" and values.dtype.kind == "f" and (broken := values[values != np.trunc(values)]).size:
        raise Refused(f"{name!r} is {broken[0]:.6g}, the model takes whole numbers")
    return values.astype(kind)


def _words(shape: Sequence[int]) -> str:
    """`64 x 64 numbers`; -1 is any length."""
    return f"{' x '.join('any' if length == -1 else str(length) for length in shape) or 'single'} numbers"


def outputs_of(prediction: Any, expected: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """A prediction as an array for each output, in its own type of numbers.

    Outputs keep the names that the model gives them. An array without a name is the only one that is `expected`.
    """
    import numpy as np
    import pandas as pd

    if isinstance(prediction, pd.DataFrame) and isinstance(prediction.columns, pd.RangeIndex):
        prediction = prediction.to_numpy()
    if isinstance(prediction, pd.DataFrame) and not prediction.columns.is_unique:
        raise Refused(f"two outputs are called {prediction.columns[prediction.columns.duplicated()][0]!r}")
    if isinstance(prediction, pd.DataFrame | dict):
        outputs = {str(name): np.asarray(prediction[name]) for name in prediction}
    elif len(expected) == 1:
        outputs = {next(iter(expected)): np.asarray(prediction)}
    else:
        names = ", ".join(expected)
        raise Refused(f"it gives one array without a name for {len(expected)} outputs; give a table of {names}")
    return {name: _numbers(values, name, expected.get(name)) for name, values in outputs.items()}


def _numbers(values: np.ndarray, name: str, shape: list[int] | None) -> np.ndarray:
    """An output as an array of integers, booleans, or floats of single or double precision; a column is a scalar's."""
    import numpy as np

    while values.dtype == object and values.size and isinstance(values.flat[0], list | tuple | np.ndarray):
        values = _one_deeper(values, name)
    if values.dtype == object and not any(isinstance(value, str | bytes) for value in values.flat):
        with suppress(TypeError, ValueError):
            values = values.astype(np.float64)
    if values.dtype.kind not in "biuf":
        kind = type(values.flat[0]).__name__ if values.dtype == object and values.size else values.dtype
        raise Refused(f"output {name!r} is of type {kind}, not a number")
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)
    return values[:, 0] if shape == [] and values.ndim == 2 and values.shape[1] == 1 else values


def _one_deeper(values: np.ndarray, name: str) -> np.ndarray:
    """An array of equally long lists with these as a dimension of its own."""
    import numpy as np

    with suppress(ValueError):
        deeper = np.array(values.tolist())
        if deeper.ndim > values.ndim:
            return deeper
    raise Refused(f"rows of output {name!r} have several shapes")


def value_range(values: np.ndarray) -> dict[str, Any]:
    import numpy as np

    finite = values[np.isfinite(values)]
    return {
        "rows": len(values) if values.ndim else 0,
        "finite": bool(finite.size == values.size and values.size),
        "low": float(finite.min()) if finite.size else None,
        "high": float(finite.max()) if finite.size else None,
        "shape": list(values.shape[1:]),
    }


def wrong_inputs(example: Any) -> Iterator[tuple[str, Any]]:
    """Inputs that a model must refuse: its example with each input one value longer, reshaped, and left out."""
    import numpy as np
    import pandas as pd

    if isinstance(example, pd.DataFrame):
        for name in example.columns:
            yield f"rows without {name!r}", example.drop(columns=name)
            if isinstance(example[name].iloc[0], list | np.ndarray):
                yield (
                    f"rows of {name!r} one value longer",
                    example.assign(**{name: [[*v, v[-1]] for v in example[name]]}),
                )
                if (other := _reshaped(np.array(example[name].tolist()))) is not None:
                    yield (
                        f"rows of {name!r} of {_words(other.shape[1:])}",
                        example.assign(**{name: other.tolist()}),
                    )
    elif isinstance(example, dict):
        for name, values in example.items():
            for other in _misshapen(np.asarray(values)):
                yield f"{name!r} of shape {other.shape}", {**example, name: other}
            yield f"rows without {name!r}", {key: value for key, value in example.items() if key != name}
    else:
        for other in _misshapen(np.asarray(example)):
            yield f"an input of shape {other.shape}", other


def _longer(values: np.ndarray) -> np.ndarray:
    """The array with one value more in its last axis; scalars become pairs."""
    import numpy as np

    if values.ndim < 2:
        return np.stack([values, values], axis=-1)
    return np.concatenate([values, values[..., -1:]], axis=-1)


def _reshaped(values: np.ndarray) -> np.ndarray | None:
    """As many values in other rows and columns, such as 32 x 128 for 64 x 64; None where there is no such shape."""
    if values.ndim < 3 or values.shape[1:] == (1,) * (values.ndim - 1):
        return None
    rows, first, *others, last = values.shape
    if first != last:
        return values.reshape(rows, last, *others, first)
    factor = next((number for number in range(2, first + 1) if first % number == 0), None)
    return None if factor is None else values.reshape(rows, first // factor, *others, last * factor)


def _misshapen(values: np.ndarray) -> Iterator[np.ndarray]:
    yield _longer(values)
    if (other := _reshaped(values)) is not None:
        yield other


def columns(parts: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """The outputs of several predictions as columns of a table: numbers, lists, or lists of lists."""
    import numpy as np

    if len({tuple(part) for part in parts}) > 1:
        raise Refused("it gives other outputs for some rows than for others")
    try:
        return {name: _column(np.concatenate([part[name] for part in parts]), name) for name in parts[0]}
    except ValueError:
        raise Refused("rows of an output have several shapes") from None


def _column(values: np.ndarray, name: str) -> Any:
    import pyarrow as pa

    if not all(values.shape[1:]):
        raise Refused(f"rows of output {name!r} have no values")
    column = pa.array(values.reshape(-1))
    for length in reversed(values.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, length)
    return column
