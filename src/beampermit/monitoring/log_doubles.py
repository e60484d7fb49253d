"""Columns of doubles of the prediction log, read as a service writes them: SQL takes twice the time for the same."""

# pyarrow has no types of its own.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from beampermit.live.log.columns import AT, VERSION
from beampermit.monitoring.log_rows import ASKED, SHADOW, LogRows

AT_ONCE = 50
"""What is read of a file lies beside what is kept of it: of all columns at once, twice the window."""
MARKS = (AT, VERSION, SHADOW, ASKED)


class _Group(NamedTuple):
    """Rows of a file that are stored together."""

    file: Any
    number: int
    asked: np.ndarray
    """Places of those that `LogRows.asked` gives."""


def read_doubles(rows: LogRows, names: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Of the rows that the model was asked, shape (rows,) each; NaN where a row has no number.

    None where a file has any of it otherwise, or cannot be read: SQL converts, and says what is wrong.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with ExitStack() as stack:
            files = [stack.enter_context(pq.ParquetFile(file)) for file in rows.files]
            if not all(_has_doubles(file.schema_arrow, names) for file in files):
                return None
            groups = [_group(rows, file, number) for file in files for number in range(file.num_row_groups)]
            read = {name: np.empty(sum(len(group.asked) for group in groups)) for name in names}
            first = 0
            for group in groups:
                last = first + len(group.asked)
                _fill(read, group, slice(first, last))
                first = last
            return read
    except (pa.ArrowException, OSError):
        return None


def _has_doubles(schema: Any, names: Sequence[str]) -> bool:
    """A column that a file does not have is null in its rows."""
    import pyarrow as pa

    kinds = dict(zip(schema.names, schema.types, strict=True))
    of_marks = [pa.timestamp("us", "UTC"), pa.int64(), pa.bool_(), pa.bool_()]
    return [kinds.get(name) for name in MARKS] == of_marks and all(
        kinds.get(name, pa.float64()) == pa.float64() for name in names
    )


def _group(rows: LogRows, file: Any, number: int) -> _Group:
    table = file.read_row_group(number, columns=[*MARKS], use_threads=False)
    at, version, shadow, asked = (table.column(name) for name in MARKS)
    sound = np.ones(table.num_rows, bool)
    for column in (at, version, shadow, asked):
        if column.null_count:
            sound &= column.is_valid().to_numpy()
    us = at.to_numpy().view(np.int64)
    sound &= (us >= round(rows.since * 1e6)) & (us < round(rows.until * 1e6)) & (version.to_numpy() == rows.version)
    sound &= ~shadow.to_numpy() & asked.to_numpy()
    return _Group(file, number, np.flatnonzero(sound))


def _fill(read: dict[str, np.ndarray], group: _Group, of: slice) -> None:
    places, there = group.asked, {*group.file.schema_arrow.names}
    if not len(places):
        return
    for name in read.keys() - there:
        read[name][of] = np.nan
    names = [name for name in read if name in there]
    whole = places[-1] - places[0] == len(places) - 1
    chosen = slice(places[0], places[-1] + 1) if whole else places
    for first in range(0, len(names), AT_ONCE):
        part = names[first : first + AT_ONCE]
        table = group.file.read_row_group(group.number, columns=part, use_threads=False)
        for name in part:
            read[name][of] = table.column(name).to_numpy()[chosen]
