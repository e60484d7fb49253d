"""What somebody asks by the Open Inference Protocol v2, read as rows that are judged like those of the loop.

Whoever writes it is not trusted: its size is limited before it is read, and nothing in it says how much is allocated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from pydantic import BaseModel, Field, ValidationError

from beampermit.contract.service import Serving
from beampermit.contract.signals import Signal
from beampermit.contract.words import listed
from beampermit.errors import BadInput, did_you_mean
from beampermit.live.latest import Fault, Readings, as_number_of_word
from beampermit.live.rows import Rows, assemble
from beampermit.live.severity import Severity
from beampermit.live.wiring import Wire, Wiring
from beampermit.reading import first_fault, parse_json
from beampermit.record import Count, Number, Record

MOST_BYTES = 4 * 2**20
"""Of a question."""
INTEGERS = {f"{sign}INT{bits}": (sign, bits) for sign in ("", "U") for bits in (8, 16, 32, 64)}
NAME = "the request"
Name = Annotated[str, Field(max_length=100)]
DEEPEST = 8
"""Mappings and lists inside of each other, in what the protocol knows."""
KEY = re.compile(rb'"[ \t\r\n]*:')


class _Parameters(Record):
    severity: tuple[Literal["NO_ALARM", "MINOR", "MAJOR", "INVALID"], ...] | None = None
    """Of each row."""
    time: tuple[Number, ...] | None = None
    """Of each row, s since 1970."""


class _Tensor(Record):
    name: Name
    shape: tuple[Count, ...] = Field(min_length=1)
    datatype: str
    parameters: _Parameters = _Parameters()
    data: Any


class _Output(BaseModel):
    name: Name


class _Question(BaseModel):
    """What the protocol has beside these, such as parameters of outputs, changes nothing."""

    id: Annotated[str, Field(max_length=1000)] | None = None
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Output, ...] = ()


@dataclass(frozen=True)
class Question:
    id: str | None
    rows: Rows
    outputs: tuple[str, ...]
    """Those that are asked for; empty for all."""


def read_question(content: bytes, wiring: Wiring, serving: Serving, now: float) -> Question:
    """`wiring` is the service's; `now` is the time of inputs that have none, s since 1970. Raises `BadInput`."""
    try:
        question = _Question.model_validate(parse(content))
    except ValidationError as error:
        raise BadInput(f"{NAME} does not hold: {first_fault(error)}") from None
    signals = [wire.signal for wire in wiring.inputs]
    tensors = _by_name(question.inputs, signals)
    count = _rows_of(question.inputs)
    # From here on, there are as many rows as it says.
    needed = _needed(signals)
    words = {name: _words(signal, tensors[name]) for name, signal in needed.items() if signal.words}
    values = {
        name: words[name].numbers if signal.words else _values(signal, tensors[name]) for name, signal in needed.items()
    }
    names = tuple(f"row {row}" for row in range(count))
    wired = replace(wiring, rows=names, inputs=tuple(_wire(signal, names) for signal in signals))
    rows = assemble(wired, _readings(wired, tensors, values, words, now), serving, now)
    return Question(question.id, rows, tuple(output.name for output in question.outputs))


def parse(content: bytes) -> Any:
    """As `parse_json`, in a fifth of its time: while C code parses, the inference loop stands still.

    orjson takes the last of two equal keys. Where there are no more keys in the text than in what was read, no key is
    there twice; otherwise, and where orjson refuses, `parse_json` decides.
    """
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return parse_json(content, NAME)
    return value if len(KEY.findall(content)) == _keys(value, DEEPEST) else parse_json(content, NAME)


def _keys(value: Any, depth: int) -> int:
    """How many keys there are, at least: lists that do not begin with a mapping are not looked into."""
    if not depth:
        return 0
    if isinstance(value, dict):
        return len(value) + sum(_keys(inner, depth - 1) for inner in value.values())
    mappings = isinstance(value, list) and value and isinstance(value[0], dict)
    return sum(_keys(inner, depth - 1) for inner in value) if mappings else 0


def _by_name(tensors: Sequence[_Tensor], inputs: Sequence[Signal]) -> dict[str, _Tensor]:
    """Each input of the contract but its constants, once."""
    needed = _needed(inputs)
    given: dict[str, _Tensor] = {}
    for tensor in tensors:
        if tensor.name in given:
            raise BadInput(f"input {tensor.name!r} is given twice")
        if tensor.name not in needed:
            constant = any(signal.name == tensor.name for signal in inputs)
            why = (
                " is constant, and is not asked for"
                if constant
                else f" is not known{did_you_mean(tensor.name, needed)}"
            )
            raise BadInput(f"input {tensor.name!r}{why}")
        given[tensor.name] = tensor
    if missing := sorted(needed - given.keys()):
        raise BadInput(f"input {missing[0]!r} is missing")
    return given


def _needed(inputs: Sequence[Signal]) -> dict[str, Signal]:
    return {signal.name: signal for signal in inputs if signal.source != "constant"}


def _rows_of(tensors: Sequence[_Tensor]) -> int:
    counts = {tensor.shape[0] for tensor in tensors}
    if len(counts) != 1:
        raise BadInput("all inputs must have the same number of rows, the first number of their shape")
    (rows,) = counts
    if rows < 1:
        raise BadInput("there is no row")
    return rows


def _wire(signal: Signal, rows: Sequence[str]) -> Wire:
    if signal.source == "constant":
        return Wire(signal, (), (0,) * len(rows))
    return Wire(signal, tuple(f"{signal.name} of {row}" for row in rows), tuple(range(len(rows))))


def _readings(
    wiring: Wiring,
    tensors: Mapping[str, _Tensor],
    values: Mapping[str, np.ndarray],
    words: Mapping[str, _Numbered],
    now: float,
) -> Readings:
    """`values` has (rows, *shape) of each input that is no constant, in the contract's order."""
    rows = len(wiring.rows)
    flat = [numbers.reshape(rows, -1) for numbers in values.values()]
    given = [(name, tensors[name].parameters) for name in values]
    times = [_of_rows("time", name, each.time, rows) or (now,) * rows for name, each in given]
    severities = [_of_rows("severity", name, each.severity, rows) or ("NO_ALARM",) * rows for name, each in given]
    places = rows * len(values)
    unknown = [message for name in values for message in (words[name].unknown if name in words else ("",) * rows)]
    return Readings(
        np.concatenate([numbers.min(axis=1) for numbers in flat]),
        np.concatenate([numbers.max(axis=1) for numbers in flat]),
        np.concatenate(times).astype(np.float64),
        np.full(places, now),
        np.array([Severity[name] for names in severities for name in names], np.int8),
        np.where([bool(message) for message in unknown], Fault.UNKNOWN_WORD, Fault.NONE).astype(np.int8),
        np.zeros(places, np.int64),
        tuple(unknown),
        {
            number: values[wire.signal.name]
            for number, wire in enumerate(wiring.inputs)
            if wire.pvs and wire.signal.shape
        },
    )


def _of_rows(key: str, name: str, given: tuple[Any, ...] | None, rows: int) -> tuple[Any, ...] | None:
    if given is not None and len(given) != rows:
        raise BadInput(f"input {name!r} has {len(given)} values of {key} for {rows} rows")
    return given


@dataclass(frozen=True)
class _Numbered:
    """The words of an input, (rows,)."""

    numbers: np.ndarray
    """NaN where the request has null, or another word."""
    unknown: tuple[str, ...]
    """What is wrong with the word of each row; empty where nothing is."""


def _words(signal: Signal, tensor: _Tensor) -> _Numbered:
    texts = _flat(tensor, _shape(signal, tensor))
    if tensor.datatype != "BYTES" or not {type(text) for text in texts} <= {str, type(None)}:
        raise BadInput(f"input {signal.name!r} is one of the words {listed(signal.words)}, with datatype 'BYTES'")
    read = [as_number_of_word(text if text is not None else math.nan, signal.words) for text in texts]
    numbers = [math.nan if number is None else number for number, _, _ in read]
    return _Numbered(np.array(numbers, np.float64), tuple(why for _, _, why in read))


def _values(signal: Signal, tensor: _Tensor) -> np.ndarray:
    """(rows, *shape), float64; NaN where the request has null."""
    shape = _shape(signal, tensor)
    numbers = _flat(tensor, shape)
    _require_type(tensor, numbers)
    try:
        values = np.array(numbers, np.float64)  # None becomes NaN
    except OverflowError:
        raise BadInput(f"input {signal.name!r} has a number that no {tensor.datatype} holds") from None
    if tensor.datatype == "FP32":
        with np.errstate(over="ignore"):
            values = values.astype(np.float32).astype(np.float64)
    return values.reshape(shape)


def _shape(signal: Signal, tensor: _Tensor) -> tuple[int, ...]:
    shape = (tensor.shape[0], *signal.shape)
    if tensor.shape != shape:
        expected = ["rows", *signal.shape]
        raise BadInput(
            f"input {signal.name!r} has shape {list(tensor.shape)} instead of [{', '.join(map(str, expected))}]"
        )
    return shape


def _flat(tensor: _Tensor, shape: tuple[int, ...]) -> list[Any]:
    """The data row after row; they come like this, or nested in the tensor's shape."""
    numbers = tensor.data
    if not isinstance(numbers, list):
        raise BadInput(f"input {tensor.name!r} has no list of data; other forms, such as binary data, are not read")
    if numbers and isinstance(numbers[0], list):
        fits = len(numbers) == shape[0]
        for size in shape[1:]:
            fits = fits and all(isinstance(inner, list) and len(inner) == size for inner in numbers)
            numbers = list(chain.from_iterable(numbers)) if fits else []
    if len(numbers) != math.prod(shape):
        raise BadInput(f"the data of input {tensor.name!r} do not have its shape, {list(shape)}")
    return numbers


def _require_type(tensor: _Tensor, numbers: list[Any]) -> None:
    """Each number, or null, is one of the tensor's datatype."""
    kinds = set(map(type, numbers)) - {type(None)}
    datatype = tensor.datatype
    if datatype in ("FP32", "FP64"):
        allowed = kinds <= {int, float}
    elif datatype == "BOOL":
        allowed = kinds <= {bool}
    elif datatype in INTEGERS:
        sign, bits = INTEGERS[datatype]
        low, high = (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        allowed = kinds <= {int} and all(low <= number <= high for number in numbers if number is not None)
    else:
        raise BadInput(f"input {tensor.name!r} has datatype {datatype!r}: FP64, FP32, BOOL and integers are read")
    if not allowed:
        raise BadInput(f"input {tensor.name!r} has a value that is no {datatype}")
