"""Whether a row gets the same score in training and when served: in a batch, alone, and alone once more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.errors import Failed
from beampermit.models.scoring import single_row_scores
from beampermit.record import Record

if TYPE_CHECKING:
    import numpy as np

ROW, ROUND = "beampermit.row", "beampermit.round"


class Difference(Record):
    """The two scores of one row that differ most; None is NaN or infinite."""

    output: str
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

    served, trained = _read(scores), _read(recorded)
    single = _read(single_row_scores(scores), f'"{ROUND}", "{ROW}"')
    if served.keys() != trained.keys():
        outputs = f"training recorded {', '.join(trained)}, the saved model gives {', '.join(served)}"
        raise Failed(outputs, file=recorded)
    rows, recorded_rows = (len(next(iter(table.values()))) for table in (served, trained))
    if rows != recorded_rows:
        raise Failed(f"training recorded scores of {recorded_rows} rows, the inputs have {rows}", file=recorded)
    rounds = len(np.unique(single[ROUND]))
    numbers, *others = single[ROW].astype(int).reshape(rounds, -1).tolist()
    if any(other != numbers for other in others) or not {*served} <= {*single} or max(numbers) >= rows:
        raise Failed("the model's code overwrote its scores: the single rows are not rows of the inputs")
    first, *later = [{name: single[name].reshape(rounds, -1)[index] for name in served} for index in range(rounds)]
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
        index = int(size.argmax())
        differences.append(
            Difference(
                output=name,
                row=numbers[index],
                first=float(values[index]) if finite[index] else None,
                second=float(others[index]) if other_finite[index] else None,
            )
        )
    return max(differences, key=lambda difference: difference.size)


def _read(path: Path, order: str = "") -> dict[str, np.ndarray]:
    import duckdb
    import numpy as np

    from beampermit.datasets.tables import connect

    try:
        with connect() as connection:
            table = connection.read_parquet(str(path))
            columns = (table.order(order) if order else table).fetchnumpy()
            return {name: np.ma.filled(np.ma.asarray(values, float), np.nan) for name, values in columns.items()}
    except (duckdb.Error, ValueError) as error:
        raise Failed(f"not a table of scores: {str(error).splitlines()[0]}", file=path) from None
