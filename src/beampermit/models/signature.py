"""Whether the inputs and outputs of a saved model, and what it answers, are those of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from beampermit.contract.signals import Signal, Signals
from beampermit.models.score_table import ValueRange, shape_in_words
from beampermit.models.scoring import Description, Field


def signature_problems(signals: Signals, loaded: Description) -> Iterator[str]:
    """Where the signature differs from the contract, and wrong inputs that the model does not refuse."""
    yield from _names(signals.inputs, loaded.inputs, "input")
    yield from _fields(signals.inputs, loaded.inputs, "input")
    yield from _names(signals.outputs, loaded.outputs, "output")
    yield from _fields(signals.outputs, loaded.outputs, "output")
    yield from (f"it accepts {wrong}, which it must refuse" for wrong in loaded.accepted)


def answer_problems(outputs: Iterable[Signal], answers: Mapping[str, ValueRange], of: str) -> Iterator[str]:
    """Outputs that are missing, of another shape, not finite or out of range, and those that nobody declared."""
    names = {output.name for output in outputs}
    for output in outputs:
        answer = answers.get(output.name)
        if answer is None:
            yield f"on {of} it gave no {output.name!r}"
        elif not answer.rows:
            yield f"on {of} it gave no row"
        elif answer.shape != output.shape:
            own, expected = shape_in_words(answer.shape), shape_in_words(output.shape)
            yield f"on {of} it gave {output.name!r} as {own} per row, {expected} in the contract"
        elif not answer.finite or answer.low is None or answer.high is None:
            yield f"on {of} it gave {output.name!r} that is not finite"
        elif answer.low < output.range[0] or answer.high > output.range[1]:
            yield (
                f"on {of} it gave {output.name!r} from {answer.low:.8g} to {answer.high:.8g}, "
                f"outside [{output.range[0]:g}, {output.range[1]:g}]"
            )
    for name in sorted({*answers} - names):
        yield f"on {of} it gave {name!r}, which is not an output of the contract"


def _names(signals: tuple[Signal, ...], fields: tuple[Field, ...], what: str) -> Iterator[str]:
    """A single signal may have no name in the signature."""
    expected, actual = {signal.name for signal in signals}, {field.name for field in fields}
    if len(expected) == 1 and actual == {None}:
        return
    listed = ", ".join(str(field.name) for field in fields)
    for name in sorted(expected - actual):
        yield f"{what} {name!r} of the contract is not in the model's signature, which has {listed}"
    for name in sorted(str(name) for name in actual - expected):
        yield f"{what} {name!r} of the model's signature is not in the contract"


def _fields(signals: tuple[Signal, ...], fields: tuple[Field, ...], what: str) -> Iterator[str]:
    by_name = {field.name: field for field in fields}
    for signal in signals:
        field = by_name.get(signal.name) or (fields[0] if len(fields) == len(signals) == 1 else None)
        if field is None:
            continue
        if what == "input" and not field.is_number:
            yield f"{what} {signal.name!r} is of type {field.type}, not a number"
        if field.shape is not None and not _fits(field.shape[1:], signal.shape, what):
            shape, expected = list(field.shape[1:]), list(signal.shape)
            yield f"{what} {signal.name!r} has shape {shape} per row, {expected} in the contract"


def _fits(shape: tuple[int, ...], expected: tuple[int, ...], what: str) -> bool:
    """An input's shape is exact, so that the model refuses others; of an output, what it answers is measured too."""
    if what == "input":
        return shape == expected
    if not expected and shape == (1,):
        return True
    return len(shape) == len(expected) and all(
        length in (-1, side) for length, side in zip(shape, expected, strict=True)
    )
