"""A search space is data: what is tried of each parameter, as `trials.space` of params.yaml says."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import optuna

Kind = Literal["float", "int", "choice", "subset"]
KINDS: tuple[Kind, ...] = ("float", "int", "choice", "subset")
KEYS: dict[Kind, tuple[str, ...]] = {
    "float": ("log", "step", "when"),
    "int": ("log", "step", "when"),
    "choice": ("when",),
    "subset": ("at_least", "when"),
}
"""Kind -> the other keys that a parameter of it may have."""
MEMBER = "="
"""Between a path and a member: whether a subset has the member is a parameter of the sampler."""


@dataclass(frozen=True)
class Parameter:
    """What is tried of one parameter."""

    path: str
    """In params.yaml, such as `train.hidden`."""
    kind: Kind
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    """Of a choice any JSON, of a subset texts."""
    at_least: int = 1
    """Members of a subset; where fewer were drawn, the first ones are added."""
    when: Mapping[str, tuple[Any, ...]] | None = None
    """Path of a choice -> the values with which this parameter is tried; otherwise it is as params.yaml has it."""

    @cached_property
    def texts(self) -> dict[str, Any]:
        """Choices as the sampler and the storage have them: JSON, in which 1, 1.0 and true differ."""
        return {json.dumps(choice, sort_keys=True): choice for choice in self.choices}

    def is_tried(self, chosen: Mapping[str, Any]) -> bool:
        """Whether its conditions are met by what was chosen before."""
        conditions = (self.when or {}).items()
        return all(path in chosen and _among(chosen[path], values) for path, values in conditions)

    def all_values(self) -> list[Any]:
        """For a grid."""
        if self.kind == "choice":
            return list(self.choices)
        if self.kind == "subset":
            counts = range(self.at_least, len(self.choices) + 1)
            return [list(some) for count in counts for some in itertools.combinations(self.choices, count)]
        step = self.step or 1
        values = [self.low + number * step for number in range(self.count)]
        return [int(value) for value in values] if self.kind == "int" else [_shortest(value) for value in values]

    @property
    def count(self) -> int:
        """How many values a grid has of it."""
        if self.kind == "choice":
            return len(self.choices)
        if self.kind == "subset":
            return sum(math.comb(len(self.choices), count) for count in range(self.at_least, len(self.choices) + 1))
        return int((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    def suggest(self, trial: optuna.Trial) -> Any:
        """A value from the sampler, which keeps it in its storage."""
        if self.kind == "choice":
            return self.texts[trial.suggest_categorical(self.path, list(self.texts))]
        if self.kind == "subset":
            names = [f"{self.path}{MEMBER}{member}" for member in self.choices]
            return self._members({name: trial.suggest_categorical(name, [True, False]) for name in names})
        if self.kind == "int":
            return trial.suggest_int(self.path, int(self.low), int(self.top), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.path, self.low, self.top, step=self.step, log=self.log)

    @property
    def top(self) -> float:
        """The highest value that steps reach."""
        return self.high if self.step is None else _shortest(self.low + (self.count - 1) * self.step)

    def drawn(self, stored: Mapping[str, Any]) -> Any:
        """The value in a trial's parameters as the storage has them. Raises `KeyError` where they have none."""
        if self.kind == "choice":
            return self.texts[stored[self.path]]
        if self.kind == "subset":
            return self._members(stored)
        return stored[self.path]

    def stored(self, value: Any) -> dict[str, Any]:
        """The opposite of `drawn`."""
        if self.kind == "choice":
            return {self.path: json.dumps(value, sort_keys=True)}
        if self.kind == "subset":
            return {f"{self.path}{MEMBER}{member}": member in value for member in self.choices}
        return {self.path: value}

    def _members(self, stored: Mapping[str, Any]) -> list[Any]:
        chosen = [member for member in self.choices if stored[f"{self.path}{MEMBER}{member}"]]
        missing = [member for member in self.choices if member not in chosen][: max(self.at_least - len(chosen), 0)]
        return [member for member in self.choices if member in chosen or member in missing]


class Space:
    """The parameters, those that others wait for first. Raises `CycleError`."""

    def __init__(self, parameters: Mapping[str, Parameter]):
        needs: dict[str, list[str]] = {path: [*(one.when or {})] for path, one in parameters.items()}
        order: list[str] = [*TopologicalSorter(needs).static_order()]
        self.parameters = tuple(parameters[path] for path in order if path in parameters)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Path -> value of the parameters that are tried."""
        chosen: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.is_tried(chosen):
                chosen[parameter.path] = parameter.suggest(trial)
        return chosen

    def drawn(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """`suggest` of a trial that has its values already; without those that it has not, as it was killed."""
        chosen: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.is_tried(chosen):
                try:
                    chosen[parameter.path] = parameter.drawn(stored)
                except KeyError:
                    continue
        return chosen

    @property
    def most_points(self) -> int:
        """Points of the grid, conditions left aside."""
        return math.prod(parameter.count for parameter in self.parameters)

    def points(self) -> Iterator[dict[str, Any]]:
        """All points of the grid, each once."""
        return self._points({}, self.parameters)

    def _points(self, chosen: dict[str, Any], left: tuple[Parameter, ...]) -> Iterator[dict[str, Any]]:
        if not left:
            yield chosen
            return
        first, *others = left
        if not first.is_tried(chosen):
            yield from self._points(chosen, tuple(others))
            return
        for value in first.all_values():
            yield from self._points({**chosen, first.path: value}, tuple(others))


def _among(value: Any, values: tuple[Any, ...]) -> bool:
    return any(json.dumps(value) == json.dumps(one) for one in values)


def _shortest(value: float) -> float:
    """0.1 + 2 * 0.1 as 0.3."""
    return float(f"{value:.12g}")


__all__ = ["KEYS", "KINDS", "CycleError", "Parameter", "Space"]
