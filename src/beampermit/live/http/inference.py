"""Answers to questions by the Open Inference Protocol v2, as true as those of the loop.

An answer of the model that cannot be shown is `null`: whoever asks has no screen that has to show something, so
fallback values of the contract are not given.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from beampermit.contract import causes
from beampermit.contract.signals import Signal
from beampermit.errors import BadInput, did_you_mean
from beampermit.live.answers import judge, shown
from beampermit.live.apart import Apart
from beampermit.live.http.question import read_question
from beampermit.live.loop import Loop
from beampermit.live.rows import Invalid, Rows
from beampermit.live.severity import Severity, Status
from beampermit.live.sharing import Raised, SharedModel
from beampermit.live.update import Value
from beampermit.live.wiring import Plug

LONGEST = 30.0
"""Seconds that an answer may take, from when the question begins to arrive."""
IN_PARTS = 16
"""Questions to find the rows of a request that make the model raise, besides one for each batch: one row of 250 is
found. A request remembers nothing of the one before, so whoever sends such a row again costs them again."""

NOT_ASKED = Invalid(Status.UDF, "the model was not asked")


class Refused(Exception):
    """Nothing may be served; the message says why."""


def describe(loop: Loop) -> dict[str, Any]:
    """The metadata of the model."""
    signals = loop.contract.signals
    return {
        "name": loop.contract.model.name,
        "versions": [str(loop.standing.version)],
        "platform": "mlflow",
        "inputs": [_tensor(signal) for signal in signals.inputs if signal.source != "constant"],
        "outputs": [_tensor(signal) for signal in signals.outputs],
    }


def answer(loop: Loop, content: bytes, until: float) -> dict[str, Any]:
    """The answer to a question; the model is not asked after `until`, by the monotonic clock.

    Raises `Refused`, `BadInput` for a question that does not hold, `ModelError` where the model does not answer, and
    `Busy` where it has no time.
    """
    if loop.standing.refused:
        raise Refused(loop.standing.refused)
    question = read_question(content, loop.wiring, loop.contract.serving, time.time())
    plugs = _asked_for(loop.wiring.outputs, question.outputs)
    values = _values(loop.model, question.rows, loop.wiring.outputs, max(len(loop.wiring.rows), 1), until)
    if loop.standing.refused:  # it was, while the model was asked
        raise Refused(loop.standing.refused)
    about = {"model_name": loop.contract.model.name, "model_version": str(loop.standing.version)}
    outputs = [_output(plug.signal, values[plug.signal.name]) for plug in plugs]
    return {**about, **({"id": question.id} if question.id is not None else {}), "outputs": outputs}


def _asked_for(plugs: Sequence[Plug], names: Sequence[str]) -> list[Plug]:
    of_name = {plug.signal.name: plug for plug in plugs}
    if unknown := [name for name in names if name not in of_name]:
        raise BadInput(f"output {unknown[0]!r} is not known{did_you_mean(unknown[0], of_name)}")
    return [of_name[name] for name in names or of_name]


def _values(
    model: SharedModel, rows: Rows, plugs: Sequence[Plug], together: int, until: float
) -> dict[str, list[Value | Invalid]]:
    """Output -> its value in each row; the model is asked for `together` sound rows at a time, as many as the loop.

    Raises `Raised` where it raises for all of them.
    """
    nothing = [problem or NOT_ASKED for problem in rows.problems]
    values: dict[str, list[Value | Invalid]] = {plug.signal.name: list(nothing) for plug in plugs}
    sound, raised, questions = rows.sound, np.zeros(len(rows.names), bool), 0

    def ask(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        nonlocal questions
        questions += 1
        return model.ask_after_the_loop(inputs, until)

    batches = np.split(sound, range(together, len(sound), together)) if len(sound) else ()
    for before, numbers in enumerate(batches):
        asked = rows.take(numbers)
        apart = Apart(1 + IN_PARTS + before - questions)
        for part in apart.ask(ask, numbers.tolist(), asked.inputs, until):
            raised[numbers[part.places]] = isinstance(part.answers, Invalid)
            for plug in plugs:
                limits = causes.limits(plug.signal)
                for place, one in zip(part.places, judge(plug.signal, part.answers, len(part.places)), strict=True):
                    value = one if isinstance(one, Invalid) else shown(one, asked, place, limits)
                    values[plug.signal.name][numbers[place]] = value
    if len(sound) and raised[sound].all():
        raise Raised(next(iter(values.values()))[sound[0]].message)
    return values


def _output(signal: Signal, values: Sequence[Value | Invalid]) -> dict[str, Any]:
    """Its tensor: data row after row, null where there is no answer; severity, status and reason are lists of rows."""
    nothing = [None] * max(int(np.prod(signal.shape)), 1)
    data: list[float | None] = []
    for value in values:
        data += nothing if isinstance(value, Invalid) else np.reshape(value.value, -1).tolist()
    severities = [Severity.INVALID if isinstance(value, Invalid) else value.severity for value in values]
    parameters = {
        "severity": [severity.name for severity in severities],
        "status": [value.status.name for value in values],
        "reason": [value.message for value in values],
    }
    return {**_tensor(signal, len(values)), "parameters": parameters, "data": data}


def _tensor(signal: Signal, rows: int = -1) -> dict[str, Any]:
    return {"name": signal.name, "datatype": "BYTES" if signal.words else "FP64", "shape": [rows, *signal.shape]}


def show(values: Mapping[str, Value]) -> dict[str, Any]:
    """What the output PVs show; null where that is INVALID."""
    return {
        pv: {
            "value": None if value.severity == Severity.INVALID else np.asarray(value.value).tolist(),
            "severity": value.severity.name,
            "status": value.status.name,
            "reason": value.message,
            "time": value.time if np.isfinite(value.time) else None,
            "origin": value.origin,
        }
        for pv, value in values.items()
    }
