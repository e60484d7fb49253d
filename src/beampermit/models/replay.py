"""Whether a row gets the same score in training and when served: in a batch, alone, and alone once more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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

    @property
    def size(self) -> float:
        if self.first is None or self.second is None:
            return 0.0 if self.first is self.second else float("inf")
        return abs(self.first - self.second)

    def describe(self, first: str, second: str) -> str:
        """A sentence; `first` and `second` say where the two scores come from."""
        one, other = ("not a number" if value is None else f"{value:.7g}" for value in (self.first, self.second))
        return f"{self.output} of row {self.row} is {one} {first} and {other} {second}"


class Replay(Record):
    """The largest differences of `rows` rows from training, and of `single_rows` rows scored one at a time."""

    rows: int
    single_rows: int
    tolerance: float
    training: Difference
    """Between training's own code and the saved model."""
    single: Difference
    """Between a batch and a single row."""
    repeated: Difference
    """Between the same single row after different other rows."""

    @property
    def largest(self) -> float:
        return max(difference.size for difference in (self.training, self.single, self.repeated))

    @property
    def problem(self) -> str:
        """The first difference beyond the tolerance, causes before consequences; empty where there is none."""
        if self.repeated.size > self.tolerance:
            difference = self.repeated.describe("after some rows", "after others")
            return f"{difference}: the model keeps state between rows"
        if self.single.size > self.tolerance:
            return self.single.describe("in a batch", "alone")
        if self.training.size > self.tolerance:
            return self.training.describe("by training's code", "by the saved model")
        return ""


def compare_scores(scores: Path, recorded: Path, tolerance: float) -> Replay:
    """Compare the tables that `score` wrote to `scores` with the scores that training `recorded`.

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
    return Replay(
        rows=rows,
        single_rows=len(numbers),
        tolerance=tolerance,
        training=_largest_difference(trained, served, range(rows)),
        single=_largest_difference({name: values[numbers] for name, values in served.items()}, first, numbers),
        repeated=max((_largest_difference(first, other, numbers) for other in later), key=lambda found: found.size),
    )


def _largest_difference(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], numbers: Sequence[int]
) -> Difference:
    """Of two tables of the same rows, which have these `numbers`."""
    import numpy as np

    differences: list[Difference] = []
    for name, values in first.items():
        others = second[name]
        finite, other_finite = np.isfinite(values), np.isfinite(others)
        size = np.where(finite & other_finite, np.abs(values - others), np.where(finite | other_finite, np.inf, 0.0))
        index = tuple(int(place) for place in np.unravel_index(size.argmax(), size.shape))
        differences.append(
            Difference(
                output=f"{name}{list(index[1:])}" if index[1:] else name,
                row=numbers[index[0]],
                first=float(values[index]) if finite[index] else None,
                second=float(others[index]) if other_finite[index] else None,
            )
        )
    return max(differences, key=lambda difference: difference.size)


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
