"""Whether a row gets the same score by training and when served, in a batch and alone, and alone once more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.errors import Failed
from beampermit.models.scoring import single_row_scores
from beampermit.record import Record

if TYPE_CHECKING:
    import numpy as np

ROW, ROUND, TIME = "beampermit.row", "beampermit.round", "beampermit.milliseconds"


class Difference(Record):
    """The two scores of one row that are furthest apart; None is no number."""

    output: str
    row: int
    here: float | None
    there: float | None

    @property
    def size(self) -> float:
        """How far apart."""
        if self.here is None or self.there is None:
            return 0.0 if self.here is self.there else float("inf")
        return abs(self.here - self.there)

    def said(self, here: str, there: str) -> str:
        """In words, each of the two with where it comes from."""
        one, other = ("no number" if value is None else f"{value:.7g}" for value in (self.here, self.there))
        return f"{self.output} of row {self.row} is {one} {here} and {other} {there}"


class Replay(Record):
    """A saved model's scores compared: of `rows` rows with those of training, of `alone` rows with itself."""

    rows: int
    alone: int
    tolerance: float
    training: Difference
    """By the training's own code, and by the saved model."""
    batch: Difference
    """By the saved model in a batch, and alone."""
    again: Difference
    """Alone, and alone after other rows than before."""

    @property
    def largest(self) -> float:
        """The largest difference of all."""
        return max(apart.size for apart in (self.training, self.batch, self.again))

    @property
    def problem(self) -> str:
        """What is further apart than the tolerance, what explains the rest before the rest; or nothing."""
        if self.again.size > self.tolerance:
            words = self.again.said("after some rows", "after others")
            return f"{words}: the model keeps something between rows"
        if self.batch.size > self.tolerance:
            return self.batch.said("in a batch", "alone")
        if self.training.size > self.tolerance:
            return self.training.said("by the training's code", "by the saved model")
        return ""


def compare_scores(scores: Path, recorded: Path, tolerance: float) -> Replay:
    """Compare what `probe.score` wrote to `scores` with what training `recorded`, and with the same rows alone.

    Raises `Failed` where the tables are not of the same rows and outputs.
    """
    import numpy as np

    here, there = _read(scores), _read(recorded)
    alone = _read(single_row_scores(scores), f'"{ROUND}", "{ROW}"')
    if here.keys() != there.keys():
        raise Failed(f"training gave {', '.join(there)}, and the saved model gives {', '.join(here)}", file=recorded)
    rows, recorded_rows = (len(next(iter(table.values()))) for table in (here, there))
    if rows != recorded_rows:
        raise Failed(f"training gave scores of {recorded_rows} rows, and the inputs are {rows}", file=recorded)
    rounds = len(np.unique(alone[ROUND]))
    numbers, *others = alone[ROW].astype(int).reshape(rounds, -1).tolist()
    if any(other != numbers for other in others) or not {*here} <= {*alone} or max(numbers) >= rows:
        raise Failed("the model spoiled its report: its rows alone are not rows of the inputs")
    turns = [{name: alone[name].reshape(rounds, -1)[turn] for name in here} for turn in range(rounds)]
    return Replay(
        rows=rows,
        alone=len(numbers),
        tolerance=tolerance,
        training=_furthest(there, here, range(rows)),
        batch=_furthest({name: values[numbers] for name, values in here.items()}, turns[0], numbers),
        again=max((_furthest(turns[0], turn, numbers) for turn in turns[1:]), key=lambda apart: apart.size),
    )


def _furthest(here: dict[str, np.ndarray], there: dict[str, np.ndarray], numbers: Sequence[int]) -> Difference:
    """Of two tables of the same rows, called `numbers`, the two scores that are furthest apart."""
    import numpy as np

    found: list[Difference] = []
    for name, values in here.items():
        others = there[name]
        one, other = np.isfinite(values), np.isfinite(others)
        size = np.where(one & other, np.abs(values - others), np.where(one | other, np.inf, 0.0))
        place = int(size.argmax())
        pair = (float(values[place]) if one[place] else None, float(others[place]) if other[place] else None)
        found.append(Difference(output=name, row=numbers[place], here=pair[0], there=pair[1]))
    return max(found, key=lambda apart: apart.size)


def _read(path: Path, order: str = "") -> dict[str, np.ndarray]:
    """The columns of a table of numbers. Raises `Failed` where it is none."""
    import duckdb
    import numpy as np

    from beampermit.datasets.tables import connect

    try:
        with connect() as connection:
            table = connection.read_parquet(str(path))
            found = (table.order(order) if order else table).fetchnumpy()
            return {name: np.ma.filled(np.ma.asarray(values, float), np.nan) for name, values in found.items()}
    except (duckdb.Error, ValueError) as error:
        raise Failed(f"no table of scores: {str(error).splitlines()[0]}", file=path) from None
