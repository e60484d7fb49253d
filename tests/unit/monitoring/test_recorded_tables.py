"""A table of `beampermit replay` is laid out as a log: nothing in it becomes SQL, a path, or work without end."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from beampermit.datasets.tables import sql_text
from beampermit.errors import BadInput
from beampermit.monitoring.backtest.counted import MONTH
from beampermit.monitoring.backtest.recorded import opened
from beampermit.monitoring.log_rows import open_rows
from support.attacks import attack_case

AT = 1_800_000_000
SECOND = f"make_timestamptz(({AT} + n)::BIGINT * 1000000)"
OWN_SQL = "'' OR true) TO '{out}' (FORMAT csv); --"


def written(path: Path, at: str = SECOND, version: str = "1", rows: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = f'{at} AS "served.at", {version} AS "served.version", false AS "served.shadow"'
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY (SELECT {columns} FROM range({rows}) r(n)) TO '{path}' (FORMAT parquet)")
    return path


def laid_out(table: Path, last: float | None = None) -> list[str]:
    with opened(table, "toy", table.parent, last) as log:
        return sorted(file.relative_to(log / "toy").as_posix() for file in log.glob("toy/*/*"))


@pytest.mark.parametrize(
    "version",
    [
        attack_case(
            OWN_SQL,
            guard="OPS001",
            tried="a record that the contract names has SQL in its column of versions, which would write a file",
            said="column 'served.version' has type VARCHAR, which is no version",
        ),
        attack_case(
            "../../../out",
            guard="OPS001",
            tried="a record that the contract names has a path in its column of versions, to make folders with",
            said="column 'served.version' has type VARCHAR, which is no version",
        ),
    ],
)
def test_a_version_is_neither_sql_nor_a_path(tmp_path: Path, version: str, said: str) -> None:
    out = tmp_path / "out"
    table = written(tmp_path / "place/table.parquet", version=sql_text(version.format(out=out)))
    for last in (None, MONTH):
        with pytest.raises(BadInput, match=said):
            laid_out(table, last)
        assert not out.exists()


@pytest.mark.attack(
    guard="OPS001",
    tried="a log that the contract names has SQL in a file's column of versions",
    said="served.version has type VARCHAR, which is no version",
)
def test_a_version_of_a_log_is_no_sql_either(tmp_path: Path, said: str) -> None:
    name = "toy/1/2027-01-15T080000.000000Z.parquet"
    written(tmp_path / name, version=sql_text(OWN_SQL.format(out=tmp_path / "out")))
    with open_rows(tmp_path, AT - 60, AT + 60) as rows:
        assert (rows.version, rows.files) == (0, ())
        assert said in rows.notes[0]


@pytest.mark.parametrize(
    ("at", "version", "said"),
    [
        (SECOND, "1.5", "column 'served.version' has type DECIMAL, which is no version"),
        ("'2027-01-15'", "1", "column 'served.at' has type VARCHAR, which is no time"),
        ("'infinity'::TIMESTAMPTZ", "1", "column 'served.at' is no time of the years 1970 to 2242 in 2 rows"),
        ("TIMESTAMP '9999-01-01'", "1", "column 'served.at' is no time of the years 1970 to 2242 in 2 rows"),
        ("TIMESTAMP '0001-01-01'", "1", "column 'served.at' is no time of the years 1970 to 2242 in 2 rows"),
        ("NULL::TIMESTAMP", "1", "this table has no rows"),
        (SECOND, "NULL::BIGINT", "this table has no rows"),
    ],
)
def test_what_is_no_record_is_said(tmp_path: Path, at: str, version: str, said: str) -> None:
    table = written(tmp_path / "table.parquet", at, version)
    for last in (None, MONTH):
        with pytest.raises(BadInput, match=said):
            laid_out(table, last)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TIMESTAMPTZ", "TIMESTAMP", "TIMESTAMP_NS"])
def test_a_file_an_hour_and_version(tmp_path: Path, kind: str) -> None:
    at = f"make_timestamptz(({AT} + n * 1800)::BIGINT * 1000000)::TIMESTAMP::{kind}"
    table = written(tmp_path / "table.parquet", at, "7 + n // 3", rows=4)
    of = ["7/2027-01-15T080000.000000Z", "7/2027-01-15T090000.000000Z", "8/2027-01-15T093000.000000Z"]
    assert laid_out(table) == laid_out(table, MONTH) == [f"{name}.parquet" for name in of]


@pytest.mark.slow
def test_of_half_a_century_the_last_month_is_laid_out(tmp_path: Path) -> None:
    at = f"make_timestamptz(({AT} - n * 432000)::BIGINT * 1000000)"
    assert len(laid_out(written(tmp_path / "table.parquet", at, rows=3650), MONTH)) == 7


def test_more_versions_than_one_service_has_are_refused(tmp_path: Path) -> None:
    at = f"make_timestamptz(({AT} - n // 5 * 3600)::BIGINT * 1000000)"
    table = written(tmp_path / "table.parquet", at, "n % 5", rows=5 * 744)
    with pytest.raises(BadInput, match="rows of more than 2976 hours and versions: cut this table to fewer hours"):
        laid_out(table, MONTH)
