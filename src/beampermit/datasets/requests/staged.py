"""A recording read once, however many PVs it holds: what is asked for of it, in order of devices, with moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from beampermit.datasets.requests.recording import Recording
from beampermit.datasets.tables import literal, name, text
from beampermit.errors import Tripped

ROWS = 20_480
"""Rows that lie together in the file: of each device few others are read."""
TIME, ORDER = "ns", "arrived"


def stage(recording: Recording, time: str, values: Mapping[str, str], chosen: tuple[str, ...], file: Path) -> Recording:
    """Write `file`: `ns` (what the SQL `time` gives), `arrived` (the row's place), the columns of `values` as the types
    that it names, their severities, and the columns `chosen` as text.

    Raises `Tripped` where text is no number, or a row has no time.
    """
    _judge(recording, time, values)
    severities = [f"{column}_severity" for column in values if f"{column}_severity" in recording.columns]
    listed = [
        *(f"CAST({name(column)} AS VARCHAR) AS {name(f'of {column}')}" for column in chosen),
        *(f"CAST({name(column)} AS {kind}) AS {name(column)}" for column, kind in values.items()),
        *(f"CAST({name(column)} AS INTEGER) AS {name(column)}" for column in severities if column not in values),
    ]
    order = ", ".join([*(name(f"of {column}") for column in chosen), name(f"row {ORDER}")])
    recording.query(
        f"COPY (SELECT {time} AS {name(f'row {TIME}')}, row_number() OVER () AS {name(f'row {ORDER}')},"
        f" {', '.join(listed)} FROM {recording.source} ORDER BY {order})"
        f" TO {text(str(file))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROWS})"
    )
    return replace(recording, source=f"read_parquet({text(literal(str(file)))})")


def samples(staged: Recording, index: int, column: str, chosen: Mapping[str, str]) -> str:
    """SQL of the samples of one PV: those of `column` where the columns of `chosen` have its values."""
    where = " AND ".join(f"{name(f'of {of}')} = {text(value)}" for of, value in chosen.items())
    severity = f"{column}_severity"
    return (
        f"SELECT {name(f'row {TIME}')} AS ns, {name(column)} AS value,"
        f" {name(severity) if severity in staged.columns else '0'} AS severity,"
        f" CAST({index} AS BIGINT) * 1000000000000 + {name(f'row {ORDER}')} AS arrived, CAST(NULL AS BIGINT) AS lost"
        f" FROM {staged.source}" + (f" WHERE {where}" if where else "")
    )


def _judge(recording: Recording, time: str, values: Mapping[str, str]) -> None:
    """Text is only read as numbers where all of it are; a row without a time belongs nowhere."""
    bad = {
        column: f"{name(column)} IS NOT NULL AND TRY_CAST({name(column)} AS {values[column]}) IS NULL"
        for column in values
    }
    asked = ", ".join(f"min(CAST({name(column)} AS VARCHAR)) FILTER ({test})" for column, test in bad.items())
    timeless, *worst = recording.query(f"SELECT count(*) FILTER (({time}) IS NULL), {asked} FROM {recording.source}")[0]
    for column, word in zip(values, worst, strict=True):
        if word is not None:
            raise Tripped(f"{column} holds {word[:40]!r}, which is no number", file=recording.path)
    if timeless:
        raise Tripped(f"{timeless} rows have no time", file=recording.path)
