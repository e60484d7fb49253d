"""Truth as a table that something else writes: what was measured later, or the project's own labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beampermit.contract import Contract
from beampermit.contract.signals import Signal
from beampermit.datasets.tables import connect, parquet, quoted, sql_path, sql_text
from beampermit.errors import BadInput, counted, did_you_mean
from beampermit.monitoring.quality import BETWEEN, Truth
from beampermit.monitoring.windows import key_columns

TIME = "time"
"""Column of a table of truth: a time with a zone, one in UTC, or s since 1970."""
NUMBER = "beampermit.number"
"""Of a row in its table: of what comes twice, the last one counts."""
NUMBERS = ("BOOLEAN", "DECIMAL", "DOUBLE", "FLOAT", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "U")
"""How kinds of numbers begin, without those of lists."""


class _Table(NamedTuple):
    rows: str
    """SQL."""
    kinds: Mapping[str, str]
    """Column -> its kind."""
    time: str
    """The column with the time of what a row is about."""


def read_table(
    table: Path, contract: Contract, until: float, outputs: Sequence[Signal], root: Path | None = None
) -> Truth:
    """The truth about these outputs in a table, Parquet or CSV; one that is not there yet has no rows.

    Labels have no time of their own: that of their row is in `dataset.raw` of the project at `root`. Raises `BadInput`
    where the table cannot be read, lacks a column, or says of an output nothing but text.
    """
    import duckdb

    if not table.exists():
        return Truth.none([output.name for output in outputs])
    connection = connect()
    connection.execute("SET TimeZone = 'UTC'")
    try:
        found = _timed(connection, table, contract, root)
        keys = key_columns(contract)
        _require(table, found.kinds, [*keys, *(output.target for output in outputs if output.target)])
        note = "; ".join(_words(connection, table, found, outputs))
        device = ", ".join([sql_text(BETWEEN), "''", *(f"CAST({quoted(name)} AS VARCHAR)" for name in keys)])
        columns = [
            f"{_seconds(found)} AS seconds",
            f"concat_ws({device}) AS device",
            *(f"{_cast(output, found.kinds)} AS v{number}" for number, output in enumerate(outputs)),
        ]
        rows = connection.execute(
            f"SELECT * FROM (SELECT {', '.join(columns)}, {quoted(NUMBER)} AS number FROM {found.rows})"
            f" WHERE seconds < {until!r}"
            " QUALIFY row_number() OVER (PARTITION BY device, seconds ORDER BY number DESC) = 1"
            " ORDER BY device, seconds"
        ).fetchnumpy()
    except duckdb.Error as error:
        raise BadInput(f"the truth cannot be read: {str(error).splitlines()[0]}", file=table) from None
    finally:
        connection.close()
    values = {output.name: _rows(rows[f"v{number}"]) for number, output in enumerate(outputs)}
    times, devices = np.ma.filled(rows["seconds"], np.nan), np.ma.filled(rows["device"], "").astype(str)
    return Truth(times, devices, values, note=note)


def _timed(connection: Any, table: Path, contract: Contract, root: Path | None) -> _Table:
    """The rows of the table, each with its time: its own, or that of the row of the data that it is a label of."""
    kinds, when = _kinds(connection, table), contract.dataset.split.time
    rows = f"(SELECT *, row_number() OVER () AS {quoted(NUMBER)} FROM {_source(table)})"
    if own := next((name for name in (TIME, when) if name in kinds), None):
        return _Table(rows, kinds, own)
    raw, key = (root or Path()) / contract.dataset.raw, contract.dataset.key
    known = _kinds(connection, raw) if when and root and raw.is_file() else {}
    if when is None or when not in known or not {*key} <= {*kinds} & {*known}:
        raise BadInput(
            f"the truth has no column {TIME!r}{did_you_mean(TIME, kinds)}{_elsewhere(contract, root, raw)}", file=table
        )
    lacking = [name for name in (when, *key_columns(contract)) if name in known and name not in kinds]
    same = " AND ".join(f"CAST(l.{quoted(name)} AS VARCHAR) = CAST(r.{quoted(name)} AS VARCHAR)" for name in key)
    taken = ", ".join(["l.*", *(f"r.{quoted(name)}" for name in lacking)])
    joined = f"(SELECT {taken} FROM {rows} AS l JOIN {_source(raw)} AS r ON {same})"
    return _Table(joined, {**kinds, **{name: known[name] for name in lacking}}, when)


def _elsewhere(contract: Contract, root: Path | None, raw: Path) -> str:
    """Why the time is not that of the labelled rows."""
    data = contract.dataset
    if data.split.time is None:
        return ", and dataset.split.time of the contract names no other"
    columns = ", ".join((*data.key, data.split.time))
    if root is None or not raw.is_file():
        return f", nor {data.split.time!r}; of labels, {data.raw} with {columns} says it, and is not here"
    return f", nor {data.split.time!r}; it and {data.raw} are joined by dataset.key, so need {columns}"


def _source(table: Path) -> str:
    return parquet(table) if table.suffix == ".parquet" else f"read_csv({sql_path(table)})"


def _kinds(connection: Any, table: Path) -> dict[str, str]:
    found = connection.execute(f"DESCRIBE SELECT * FROM {_source(table)}").fetchall()
    return {name: kind for name, kind, *_ in found}


def _require(table: Path, kinds: Mapping[str, str], names: Sequence[str]) -> None:
    for name in names:
        if name not in kinds:
            raise BadInput(f"the truth has no column {name!r}{did_you_mean(name, kinds)}", file=table)


def _seconds(found: _Table) -> str:
    """SQL of the time in s since 1970."""
    if found.kinds[found.time].startswith(("TIMESTAMP", "DATE")):
        return f"epoch_us(CAST({quoted(found.time)} AS TIMESTAMPTZ)) / 1e6"
    return f"CAST({quoted(found.time)} AS DOUBLE)"


def _cast(output: Signal, kinds: Mapping[str, str]) -> str:
    name = output.target or ""
    return f"TRY_CAST({quoted(name)} AS {'DOUBLE[]' if kinds[name].endswith(']') else 'DOUBLE'})"


def _words(connection: Any, table: Path, found: _Table, outputs: Sequence[Signal]) -> Iterator[str]:
    """What is text and therefore no truth. Raises `BadInput` where an output has nothing else."""
    for output in outputs:
        name, kind = output.target or "", found.kinds[output.target or ""]
        if kind.startswith(NUMBERS) and not kind.endswith("]"):
            continue
        told = f"nullif(trim(CAST({quoted(name)} AS VARCHAR)), '')"
        cast = _cast(output, found.kinds)
        numbers, words, one = connection.execute(
            f"SELECT count({cast}), count({told}) FILTER (WHERE {cast} IS NULL),"
            f" min({told}) FILTER (WHERE {cast} IS NULL) FROM {found.rows}"
        ).fetchone()
        if words and not numbers:
            raise BadInput(
                f"column {name!r}, the truth of {output.name}, says {one[:40]!a}, and predictions are compared with"
                " numbers",
                file=table,
            )
        if words:
            yield f"{counted(words, 'row')} of column {name!r} say {one[:40]!a} or the like, which is no number"


def _rows(column: Any) -> np.ndarray:
    """Shape (rows, values of one); NaN where a row has none."""
    filled = np.ma.filled(column, np.nan) if column.dtype != object else column
    if filled.dtype != object:
        return filled.astype(float)[:, None]
    lists = [np.ravel(value) if isinstance(value, (list, np.ndarray)) else np.zeros(0) for value in filled]
    size = max(map(len, lists), default=0)
    return (
        np.stack([one if len(one) == size else np.full(size, np.nan) for one in lists]) if lists else np.zeros((0, 0))
    )
