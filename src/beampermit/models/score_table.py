"""Tables of scores, as the worker and training write them: a column for each output, of numbers or of lists of them."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from beampermit.datasets.arrays import depth_of, flattened, lengths
from beampermit.datasets.tables import connect_to_read, quoted
from beampermit.errors import Failed
from beampermit.record import Record

if TYPE_CHECKING:
    import numpy as np


class ValueRange(Record):
    """An output's number of rows, the shape of each, whether all values are finite, and the lowest and highest."""

    rows: int
    finite: bool
    low: float | None
    high: float | None
    shape: tuple[int, ...] = ()


class ScoreTable:
    """A Parquet file of scores, open while it is a context. Raises `Failed` for what is not a table of numbers.

    Of another table, these `columns` are read as scores.
    """

    def __init__(self, path: Path, *columns: str):
        self._path, self._columns = path, columns

    def __enter__(self) -> Self:
        import duckdb

        self._connection = connect_to_read()
        try:
            table = self._connection.read_parquet(str(self._path))
            self._table = table.select(*map(quoted, self._columns)) if self._columns else table
            (self.rows,) = self._table.aggregate("count(*)").fetchall()[0]
            kinds = zip(self._table.columns, self._table.types, strict=True)
            self._depths = {name: depth_of(str(kind)) for name, kind in kinds}
        except duckdb.Error as error:
            self._connection.close()
            raise self._not_numbers(str(error).splitlines()[0]) from None
        if odd := [name for name, depth in self._depths.items() if depth is None]:
            self._connection.close()
            raise self._not_numbers(f"{odd[0]} has no numbers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self._depths)

    @property
    def described(self) -> str:
        """Names, and shapes of arrays: `score, image of 64 x 64 numbers`. Raises `Failed`."""
        shapes = {name: self._shape(name) for name in self.outputs}
        return ", ".join(f"{name} of {shape_in_words(shape)}" if shape else name for name, shape in shapes.items())

    def range_of(self, name: str) -> ValueRange:
        """The range of an output, computed here and not by the model. Raises `Failed`."""
        finite = "filter (isfinite(v))"
        shape = self._shape(name)
        aggregates = f"count(v) {finite}, min(v) {finite}, max(v) {finite}"
        count, low, high = self._select(name).aggregate(aggregates).fetchall()[0]
        return ValueRange(rows=self.rows, finite=count == self.rows * math.prod(shape), low=low, high=high, shape=shape)

    def values(self, name: str) -> np.ndarray:
        """The scores of an output, float64 of shape (rows, *shape of the output), NaN for a null. Raises `Failed`."""
        import numpy as np

        values = np.ma.asarray(self._select(name).fetchnumpy()["v"], float)
        return np.ma.filled(values, np.nan).reshape(self.rows, *self._shape(name))

    def _select(self, name: str) -> Any:
        """The values of an output in the order of the rows, as the column `v`."""
        depth = self._depths[name] or 0
        value = f"unnest({flattened(quoted(name), depth)})" if depth else quoted(name)
        return self._table.project(f"{value} AS v").project("CAST(v AS DOUBLE) AS v")

    def _shape(self, name: str) -> tuple[int, ...]:
        """The shape that each row has. Raises `Failed` where they have several."""
        depth = self._depths[name] or 0
        if not depth or not self.rows:
            return ()
        column = quoted(name)
        each = [f"min({low}), max({high})" for low, high in lengths(column, depth)]
        total, nulls, *ends = self._table.aggregate(
            f"sum(len({flattened(column, depth)})), count(*) FILTER (WHERE {column} IS NULL), {', '.join(each)}"
        ).fetchall()[0]
        shape = tuple(high or 0 for high in ends[1::2])
        if nulls or ends[::2] != ends[1::2] or total != self.rows * math.prod(shape):
            raise Failed(f"rows of {name!r} have several shapes", file=self._path)
        return shape

    def _not_numbers(self, reason: str) -> Failed:
        return Failed(f"not a table of scores: {reason}", file=self._path)


def read_scores(path: Path) -> dict[str, np.ndarray]:
    """The scores of each output, float64 of shape (rows, *shape of the output), NaN for a null. Raises `Failed`."""
    with ScoreTable(path) as table:
        return {name: table.values(name) for name in table.outputs}


def shape_in_words(shape: tuple[int, ...]) -> str:
    """`64 x 64 numbers`, or `one number`."""
    return f"{' x '.join(map(str, shape))} numbers" if shape else "one number"
