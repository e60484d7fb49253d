"""What the Archiver Appliance says: `[{"meta": {"name", "EGU"}, "data": [{"secs", "nanos", "val", "severity", ...}]}]`.

The answer is parsed by the database, from a file: a day of a PV never becomes Python objects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME
from beampermit.datasets.requests.asked import Wanted
from beampermit.datasets.requests.units import same
from beampermit.datasets.tables import literal, text
from beampermit.errors import BadInput, Tripped

SAMPLE = (
    "STRUCT(secs BIGINT, nanos BIGINT, val {kind}, severity INTEGER, status INTEGER,"
    " fields STRUCT(cnxlostepsecs VARCHAR))[]"
)
SAMPLES = "(SELECT unnest(data, max_depth := 2), unnest(range(len(data))) AS arrived FROM answer)"
FARTHEST = 2**33
"""Seconds since 1970 that fit into nanoseconds."""


class Garbled(Exception):
    """Not an answer: cut off, or not the JSON of an archiver. May be whole when it is asked for again."""


def read(connection: Any, file: Path, wanted: Wanted) -> str:
    """SQL of the samples in an answer: ns, value, severity, arrived, lost.

    Raises `BadInput` for a PV the archiver does not know, `Tripped` for another unit or kind of value, `Garbled`.
    """
    if not file.stat().st_size:
        raise Garbled("the answer is empty")
    _parse(connection, file, wanted)
    units = _ask(connection, "SELECT unit FROM answer")
    if not units:
        raise BadInput(
            f"the archiver does not know the PV {wanted.pv!r}",
            file=FILE_NAME,
            hint="mend the name in contract.yaml, or have the PV archived",
        )
    if len(units) > 1:
        raise Garbled(f"the answer is about {len(units)} PVs")
    unit = units[0][0]
    if unit and not same(unit, wanted.signal.unit or "1"):
        raise Tripped(f"{wanted.pv} is archived in {unit}, the contract says {wanted.signal.unit}", file=FILE_NAME)
    (timeless,) = _ask(
        connection,
        f"SELECT count(*) FILTER (coalesce(secs NOT BETWEEN 0 AND {FARTHEST}, true)"
        f" OR coalesce(nanos NOT BETWEEN 0 AND 999999999, false)) FROM {SAMPLES}",
    )[0]
    if timeless:
        raise Garbled(f"{timeless} samples have no time")
    lost = "TRY_CAST(trunc(TRY_CAST(fields.cnxlostepsecs AS DOUBLE)) AS BIGINT)"
    return (
        "SELECT secs * 1000000000 + coalesce(nanos, 0) AS ns, val AS value, severity, arrived,"
        f" CASE WHEN {lost} BETWEEN 1 AND secs THEN {lost} * 1000000000 END AS lost FROM {SAMPLES}"
    )


def _parse(connection: Any, file: Path, wanted: Wanted) -> None:
    """Make the table `answer` of the connection: a row for each PV, its unit and its samples."""
    kind = "DOUBLE[]" if wanted.size else "DOUBLE"
    try:
        _ask(
            connection,
            "CREATE OR REPLACE TEMP TABLE answer AS SELECT meta->>'EGU' AS unit, data FROM "
            + _json(file, f"{{meta: 'JSON', data: '{SAMPLE.format(kind=kind)}'}}"),
        )
    except Garbled:
        what = "lists" if wanted.size else "numbers"
        kinds = _kinds(connection, file)
        if kinds is None or kinds == what:
            raise
        raise Tripped(f"the values of {wanted.pv} are {kinds}, not {what}", file=FILE_NAME) from None


def _kinds(connection: Any, file: Path) -> str | None:
    """What the values are, of an answer that has the form of one."""
    source = _json(file, "{data: 'STRUCT(secs BIGINT, nanos BIGINT, val JSON)[]'}")
    try:
        rows = _ask(
            connection, f"SELECT DISTINCT json_type(sample.val) FROM (SELECT unnest(data) AS sample FROM {source})"
        )
    except Garbled:
        return None
    kinds = {kind for (kind,) in rows} - {"NULL", None}
    if kinds & {"VARCHAR", "OBJECT", "BOOLEAN"}:
        return "text" if kinds == {"VARCHAR"} else "of several kinds"
    return "lists" if kinds == {"ARRAY"} else "of several kinds" if "ARRAY" in kinds else "numbers"


def _json(file: Path, columns: str) -> str:
    name = text(literal(str(file)))
    # The parser makes room for two of the largest object at once, so it is told how large this one is.
    largest = max(2**20, file.stat().st_size)
    return f"read_json({name}, format = 'array', maximum_object_size = {largest}, columns = {columns})"


def _ask(connection: Any, sql: str) -> list[Any]:
    import duckdb

    try:
        return connection.execute(sql).fetchall()
    except duckdb.OutOfMemoryException:
        raise BadInput(
            "the archiver's answer does not fit into memory",
            file=FILE_NAME,
            hint="make dataset.request.options.piece shorter",
        ) from None
    except duckdb.Error as error:
        words = str(error).splitlines()[0].split(" in file ")[0]
        raise Garbled(f"the answer is not an archiver's JSON ({words})") from None
