"""A model that raises for one row leaves the others their answers: which row it is, is found by asking in parts.

A model may not depend on what else is in its batch (MDL005), so rows that are asked for apart have the same answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from beampermit.live.rows import Invalid
from beampermit.live.severity import Status
from beampermit.live.sharing import Raised

Ask = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
MOST = 32
"""Questions that are asked at once to find rows, whatever the model does: one row of any 30,000 is found, or several of
some hundred. What they do not come to waits for the next time, when those that were found are set apart."""
SINGLY = 4
"""Rows that are known to make it raise are asked for one by one, so many at once, in turn: a model that raises for each
row costs five questions at a time in the end."""


@dataclass(frozen=True)
class Part:
    """Rows that were asked for together, by their places; the model's answers, or why it has none for them."""

    places: np.ndarray
    answers: dict[str, np.ndarray] | Invalid
    reached: bool = True
    """Whether they were asked for without others around them that may be the reason."""


class Apart:
    """Asks for rows, which have numbers, and remembers those for which the model raised the last time."""

    def __init__(self, most: int = MOST) -> None:
        """`most`: questions that are asked at once to find rows."""
        self._most = most
        self.reasons: dict[int, Invalid] = {}
        """Of the rows that have no answer because it raised."""
        self._alone: list[int] = []
        """Those of them that make it raise by themselves, the next to ask for first."""

    def forget(self) -> None:
        self.reasons, self._alone = {}, []

    def ask(self, ask: Ask, numbers: Sequence[int], inputs: Mapping[str, np.ndarray], until: float) -> list[Part]:
        """All rows at once; where the model raises, in halves, down to the rows that make it.

        No question is begun after `until`, by the monotonic clock, but for the first. Raises `ModelError` where the
        model does not answer for another reason.
        """
        questions = _Questions(ask, inputs, until, self._most)
        places = np.arange(len(numbers))
        place_of = {number: place for place, number in enumerate(numbers)} if self._alone else {}
        alone = [place_of[number] for number in self._alone if number in place_of]
        others = np.setdiff1d(places, alone) if alone else places
        parts = questions.in_halves(others) if others.size else []
        if alone:
            parts += questions.singly(alone)
        for part in parts:
            if self.reasons or isinstance(part.answers, Invalid):
                self._remember([numbers[place] for place in part.places.tolist()], part)
        return parts

    def _remember(self, numbers: list[int], part: Part) -> None:
        again = set(numbers)
        self._alone = [number for number in self._alone if number not in again]
        for number in numbers:
            self.reasons.pop(number, None)
            if isinstance(part.answers, Invalid):
                self.reasons[number] = part.answers
        if isinstance(part.answers, Invalid) and part.reached:
            self._alone += numbers


def together(
    parts: Sequence[Part], count: int, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, np.ndarray] | None, np.ndarray]:
    """The answers of all parts in the order of their `count` rows, and of each row whether it has one.

    None in place of the answers where no row has one. `shapes` are those of a row of each output: one that a part gives
    in another shape is left out, whatever the others have. What one question answered for all rows is as it was given.
    """
    answered = [(part.places, part.answers) for part in parts if not isinstance(part.answers, Invalid)]
    has = np.zeros(count, bool)
    for places, _ in answered:
        has[places] = True
    if not answered:
        return None, has
    if len(answered[0][0]) == count:
        return answered[0][1], has
    found = {
        name: _in_order([(places, answers.get(name)) for places, answers in answered], (count, *shape))
        for name, shape in shapes.items()
    }
    return {name: values for name, values in found.items() if values is not None}, has


def _in_order(parts: Sequence[tuple[np.ndarray, np.ndarray | None]], shape: tuple[int, ...]) -> np.ndarray | None:
    """An array of this shape; None where a part has another. Nothing is made of a shape that a model gave."""
    whole = np.full(shape, np.nan)
    for places, values in parts:
        if values is None or values.shape != (len(places), *shape[1:]):
            return None
        whole[places] = values
    return whole


class _Questions:
    """About the same rows, at one time."""

    def __init__(self, ask: Ask, inputs: Mapping[str, np.ndarray], until: float, most: int):
        self._ask, self._inputs, self._until, self._most = ask, inputs, until, most
        self._asked = 0

    def in_halves(self, places: np.ndarray) -> list[Part]:
        """What is not come to has the reason of the rows around it."""
        parts: list[Part] = []
        left: list[tuple[np.ndarray, Invalid | None]] = [(places, None)]
        while left:
            places, why = left.pop()
            if why and self._spent:
                parts.append(Part(places, why, reached=False))
                continue
            part = self._one(places)
            if isinstance(part.answers, Invalid) and len(places) > 1:
                first, second = np.array_split(places, 2)
                left += [(second, part.answers), (first, part.answers)]
                continue
            parts.append(part)
        return parts

    def singly(self, places: Sequence[int]) -> list[Part]:
        """Those that are not come to are left out: what was said of them still holds."""
        if len(places) > SINGLY and not self._late:
            whole = self._one(np.sort(places))
            if not isinstance(whole.answers, Invalid):
                return [whole]
        parts = []
        for place in places[:SINGLY]:
            if self._late:
                break
            parts.append(self._one(np.array([place])))
        return parts

    @property
    def _late(self) -> bool:
        return self._asked > 0 and time.monotonic() >= self._until

    @property
    def _spent(self) -> bool:
        return self._asked >= self._most or self._late

    def _one(self, places: np.ndarray) -> Part:
        self._asked += 1
        inputs = self._inputs
        if len(places) < len(next(iter(inputs.values()))):
            inputs = {name: values[places] for name, values in inputs.items()}
        try:
            return Part(places, self._ask(inputs))
        except Raised as error:
            return Part(places, Invalid(Status.CALC, str(error)))
