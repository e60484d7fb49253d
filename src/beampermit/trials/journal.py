"""A journal of studies, read only: ten times as fast as optuna, which makes all of its own objects of it first.

Who shows a study waits for this, and takes neither the lock nor optuna's import. What a line means is optuna's
`JournalOperation`; a line of another kind is left to optuna itself.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any


class State(IntEnum):
    """As optuna numbers them."""

    RUNNING = 0
    COMPLETE = 1
    PRUNED = 2
    FAIL = 3
    WAITING = 4


@dataclass
class JournalTrial:
    """What is shown of optuna's `FrozenTrial`, with its names."""

    number: int
    state: State
    datetime_start: datetime | None
    params: dict[str, Any] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    values: list[float] | None = None


@dataclass
class JournalStudy:
    _study_id: int
    study_name: str
    user_attrs: dict[str, Any] = field(default_factory=dict)


class OtherJournal(ValueError):
    """It has what we do not know: another version of optuna wrote it, or it is damaged."""


class Journal:
    """Answers as optuna's storage does, as far as it is asked."""

    def __init__(self, file: Path):
        self._studies: dict[int, JournalStudy] = {}
        self._trials: list[JournalTrial] = []
        self._of_study: dict[int, list[JournalTrial]] = {}
        self._made = 0
        content = file.read_bytes() if file.is_file() else b""
        *lines, _torn = content.split(b"\n")  # whoever writes may be in the middle of a line
        try:
            self._replay(b"[" + b",".join(lines) + b"]")  # all at once, which is faster
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise OtherJournal(f"{file}: {error}") from None

    def _replay(self, entries: bytes) -> None:
        with uncollected():
            for entry in _parsed(entries):
                OPERATIONS[entry["op_code"]](self, entry)

    def get_all_studies(self) -> list[JournalStudy]:
        return list(self._studies.values())

    def get_all_trials(self, study_id: int, *, deepcopy: bool = False) -> list[JournalTrial]:  # noqa: ARG002 - optuna's
        return self._of_study[study_id]

    def _make_study(self, entry: Mapping[str, Any]) -> None:
        if any(study.study_name == entry["study_name"] for study in self._studies.values()):
            return  # two at once: the first one has made it
        self._studies[self._made] = JournalStudy(self._made, entry["study_name"])
        self._of_study[self._made] = []
        self._made += 1

    def _remove_study(self, entry: Mapping[str, Any]) -> None:
        self._studies.pop(entry["study_id"], None)

    def _note_study(self, entry: Mapping[str, Any]) -> None:
        if study := self._studies.get(entry["study_id"]):
            study.user_attrs |= entry["user_attr"]

    def _make_trial(self, entry: Mapping[str, Any]) -> None:
        if entry["study_id"] not in self._studies:
            return
        own = self._of_study[entry["study_id"]]
        values = entry.get("values") or ([entry["value"]] if entry.get("value") is not None else None)
        trial = JournalTrial(
            number=len(own),
            state=State(entry.get("state", State.RUNNING)),
            datetime_start=_moment(entry["datetime_start"]),
            user_attrs=dict(entry.get("user_attrs", {})),
            values=values,
        )
        for name, value in entry.get("params", {}).items():
            trial.params[name] = _external(entry["distributions"][name])(value)
        own.append(trial)
        self._trials.append(trial)

    def _set_param(self, entry: Mapping[str, Any]) -> None:
        if trial := self._open(entry):
            trial.params[entry["param_name"]] = _external(entry["distribution"])(entry["param_value_internal"])

    def _set_state(self, entry: Mapping[str, Any]) -> None:
        trial, state = self._open(entry), State(entry["state"])
        if trial is None or state is trial.state is State.RUNNING:
            return
        if state is State.RUNNING:
            trial.datetime_start = _moment(entry["datetime_start"])
        trial.state = state
        if entry["values"] is not None:
            trial.values = entry["values"]

    def _note_trial(self, entry: Mapping[str, Any]) -> None:
        if trial := self._open(entry):
            trial.user_attrs |= entry["user_attr"]

    def _pass_over(self, entry: Mapping[str, Any]) -> None:
        """What is never shown: values on the way, and what a sampler keeps for itself."""

    def _open(self, entry: Mapping[str, Any]) -> JournalTrial | None:
        """The trial that a line changes; None where it has ended, as nothing changes it then."""
        number = entry["trial_id"]
        trial = self._trials[number] if number < len(self._trials) else None
        return trial if trial and (trial.state is State.RUNNING or trial.state is State.WAITING) else None


OPERATIONS: dict[int, Callable[[Journal, Mapping[str, Any]], None]] = {
    0: Journal._make_study,
    1: Journal._remove_study,
    2: Journal._note_study,
    3: Journal._pass_over,
    4: Journal._make_trial,
    5: Journal._set_param,
    6: Journal._set_state,
    7: Journal._pass_over,
    8: Journal._note_trial,
    9: Journal._pass_over,
}


@cache
def _external(distribution: str) -> Callable[[Any], Any]:
    """What turns a value as it is stored into what was tried."""
    body = json.loads(distribution)
    match body["name"]:
        case "CategoricalDistribution":
            return lambda value: body["attributes"]["choices"][int(value)]
        case "IntDistribution":
            return int
        case "FloatDistribution":
            return float
        case name:
            raise OtherJournal(f"a value of {name}")


@contextmanager
def uncollected() -> Iterator[None]:
    """While a million objects are made, none of them in a circle, Python looks for no circles."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _parsed(entries: bytes) -> Any:
    import orjson  # four times as fast

    try:
        return orjson.loads(entries)
    except orjson.JSONDecodeError:
        return json.loads(entries)  # optuna may have written NaN or an infinity


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
