"""Whether a row gets the same score in training and when served: in a batch, alone, and alone once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract import Signal
from beampermit.contract.signals import tolerance_of
from beampermit.contract.tolerance import RELATIVE, allowed, in_words
from beampermit.errors import Failed
from beampermit.models.score_table import read_scores, shape_in_words
from beampermit.models.scoring import single_row_scores
from beampermit.record import Record

if TYPE_CHECKING:
    import numpy as np

ROW, ROUND = "beampermit.row", "beampermit.round"
OVERWRITTEN = "the model's code overwrote its scores: the single rows are not rows of the inputs"


class Difference(Record):
    """The two scores of one row that differ most; None is NaN or infinite."""

    output: str
    """Its name, and the place in an array: `orbit[12]`."""
    row: int
    first: float | None
    second: float | None
    limit: float
    """How far they may differ."""
    allowed: str
    """What the contract says of it: `0.02`, or `2% of 0.97`."""

    @property
    def excess(self) -> float:
        """The difference as a part of what is allowed."""
        return self.size / self.limit if self.limit else float("inf") if self.size else 0.0

    @property
    def size(self) -> float:
        if self.first is None or self.second is None:
            return 0.0 if self.first is self.second else float("inf")
        return abs(self.first - self.second)

    def describe(self, first: str, second: str) -> str:
        """A sentence; `first` and `second` say where the two scores come from."""
        one, other = ("not a number" if value is None else f"{value:.7g}" for value in (self.first, self.second))
        return f"{self.output} of row {self.row} is {one} {first} and {other} {second}"


@dataclass(frozen=True)
class Limit:
    """How far scores of an output may differ; `words` say it as the contract does."""

    absolute: float
    words: str

    @classmethod
    def of(cls, scores: np.ndarray, tolerance: float | str) -> Limit:
        """`scores` are all that the model gives, for a percentage of their span."""
        import numpy as np

        finite = scores[np.isfinite(scores)]
        span = float(np.ptp(finite)) if finite.size else 0.0
        return cls(allowed(tolerance, span), in_words(tolerance, span))

    def at(self, scores: np.ndarray) -> np.ndarray:
        """The limit at each score."""
        import numpy as np

        return np.maximum(self.absolute, RELATIVE * np.abs(scores))


class Replay(Record):
    """The largest differences of `rows` rows from training, and of `single_rows` rows scored one at a time."""

    rows: int
    single_rows: int
    training: Difference
    """Between training's own code and the saved model."""
    single: Difference
    """Between a batch and a single row."""
    repeated: Difference
    """Between the same single row after different other rows."""

    @property
    def worst(self) -> Difference:
        """The difference that is largest for what is allowed."""
        return max((self.training, self.single, self.repeated), key=lambda difference: difference.excess)

    @property
    def problem(self) -> str:
        """The first difference beyond its tolerance, causes before consequences; empty where there is none."""
        if self.repeated.excess > 1:
            difference = self.repeated.describe("after some rows", "after others")
            return f"{difference}: the model keeps state between rows, {self.repeated.allowed} allowed"
        if self.single.excess > 1:
            return f"{self.single.describe('in a batch', 'alone')}, {self.single.allowed} allowed"
        if self.training.excess > 1:
            described = self.training.describe("by training's code", "by the saved model")
            return f"{described}, {self.training.allowed} allowed"
        return ""


def compare_scores(scores: Path, recorded: Path, signals: Sequence[Signal]) -> Replay:
    """Compare the tables that `score` wrote to `scores` with the scores that training `recorded`.

    Each output has its tolerance; a percentage is of the span of the saved model's scores.

    Raises `Failed` where the tables have different rows or outputs.
    """
    import numpy as np

    served, trained, single = read_scores(scores), read_scores(recorded), read_scores(single_row_scores(scores))
    if served.keys() != trained.keys():
        outputs = f"training recorded {', '.join(trained)}, the saved model gives {', '.join(served)}"
        raise Failed(outputs, file=recorded)
    rows, recorded_rows = (len(next(iter(table.values()))) for table in (served, trained))
    if rows != recorded_rows:
        raise Failed(f"training recorded scores of {recorded_rows} rows, the inputs have {rows}", file=recorded)
    trained = {name: _in_shape(values, served[name], name, recorded) for name, values in trained.items()}
    if not _same_outputs(single, served):
        raise Failed(OVERWRITTEN)
    order = np.lexsort((single[ROW], single[ROUND]))
    single = {name: values[order] for name, values in single.items()}
    rounds = len(np.unique(single[ROUND]))
    numbers, *others = single[ROW].astype(int).reshape(rounds, -1).tolist()
    if any(other != numbers for other in others) or max(numbers) >= rows:
        raise Failed(OVERWRITTEN)
    by_round = {name: single[name].reshape(rounds, len(numbers), *served[name].shape[1:]) for name in served}
    first, *later = [{name: values[index] for name, values in by_round.items()} for index in range(rounds)]
    limits = {name: Limit.of(values, tolerance_of(signals, name, "score_tolerance")) for name, values in served.items()}
    return Replay(
        rows=rows,
        single_rows=len(numbers),
        training=_largest_difference(trained, served, range(rows), limits),
        single=_largest_difference({name: values[numbers] for name, values in served.items()}, first, numbers, limits),
        repeated=max(
            (_largest_difference(first, other, numbers, limits) for other in later), key=lambda found: found.excess
        ),
    )


def differing_scores(
    scores: Mapping[str, np.ndarray],
    served: Mapping[str, np.ndarray],
    numbers: Sequence[int],
    signals: Sequence[Signal],
) -> Difference | None:
    """The largest difference beyond its tolerance of answers that were `served` for these rows from their `scores`.

    `scores` are those of all rows; only outputs that both have are compared.
    """
    both = [name for name in served if name in scores]
    limits = {name: Limit.of(scores[name], tolerance_of(signals, name, "score_tolerance")) for name in both}
    of_rows = {name: scores[name][list(numbers)] for name in both}
    worst = _largest_difference(of_rows, {name: served[name] for name in both}, numbers, limits) if both else None
    return worst if worst and worst.excess > 1 else None


def _largest_difference(
    first: dict[str, np.ndarray],
    second: dict[str, np.ndarray],
    numbers: Sequence[int],
    limits: Mapping[str, Limit],
) -> Difference:
    """Of two tables of the same rows, which have these `numbers`."""
    import numpy as np

    differences: list[Difference] = []
    for name, values in first.items():
        others = second[name]
        finite, other_finite = np.isfinite(values), np.isfinite(others)
        size = np.where(finite & other_finite, np.abs(values - others), np.where(finite | other_finite, np.inf, 0.0))
        limit = limits[name].at(np.where(finite, values, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.where(size > 0, size / limit, 0.0)
        index = tuple(int(place) for place in np.unravel_index(excess.argmax(), size.shape))
        differences.append(
            Difference(
                output=f"{name}{list(index[1:])}" if index[1:] else name,
                row=numbers[index[0]],
                first=float(values[index]) if finite[index] else None,
                second=float(others[index]) if other_finite[index] else None,
                limit=float(limit[index]),
                allowed=limits[name].words,
            )
        )
    return max(differences, key=lambda difference: difference.excess)


def _same_outputs(single: dict[str, np.ndarray], served: dict[str, np.ndarray]) -> bool:
    """Whether single rows have the outputs of the batch, in their shapes."""
    return {*served, ROUND, ROW} <= {*single} and all(
        single[name].shape[1:] == values.shape[1:] for name, values in served.items()
    )


def _in_shape(values: np.ndarray, served: np.ndarray, name: str, file: Path) -> np.ndarray:
    """Recorded scores in the shape of the served ones, which they have, or as one flat list of as many numbers."""
    if values.shape == served.shape:
        return values
    if values.ndim == 2 and values.size == served.size:
        return values.reshape(served.shape)
    own, other = shape_in_words(values.shape[1:]), shape_in_words(served.shape[1:])
    raise Failed(f"training recorded {name} as {own}, the saved model gives {other}", file=file)
