"""Units are read from the Arrow schema in a Parquet file; damaged schemas do no harm."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beampermit.datasets import tables

SCHEMA = (
    b"/////6ABAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAMAAABAAQAAdAAAAAQAAACm////AAABAxQAAABIAA"
    b"AACAAAABQAAAAAAAAABAAAAHR1bmUAAAAAAQAAAAQAAABo////EAAAAAQAAAABAAAAMQAAAAUAAAB1bml0cwAGAAYABAAGAAAAAgASABgACAAG"
    b"AAcADAAAABAAFAASAAAAAAABDBgAAAB4AAAACAAAABgAAAABAAAAbAAAAAUAAAB0dXJucwAAAAIAAAA0AAAABAAAANz///8QAAAABAAAAAEAAA"
    b"B4AAAACwAAAGRlc2NyaXB0aW9uAAgADAAEAAgACAAAABAAAAAEAAAAAgAAAG1tAAAEAAAAdW5pdAAAAACY////0P///wAAAQMQAAAAHAAAAAQA"
    b"AAAAAAAABAAAAGl0ZW0AAAYACAAGAAYAAAAAAAEAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEFEAAAABwAAAAEAAAAAAAAAAYAAABkZXZpY2UAAA"
    b"QABAAEAAAAAAAAAA=="
)
"""Of pyarrow 22: device string; turns list<float> with unit mm; tune double with units 1."""


def test_units_of_fields_are_read() -> None:
    assert tables.arrow_units(SCHEMA) == {"turns": "mm", "tune": "1"}


def test_no_schema_states_no_units() -> None:
    assert (
        tables.arrow_units(b"")
        == tables.arrow_units(b"not base64!")
        == tables.arrow_units(base64.b64encode(b"\0" * 64))
        == {}
    )


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_schema_does_no_harm(changes: list[tuple[int, int]]) -> None:
    content = bytearray(base64.b64decode(SCHEMA))
    for place, value in changes:
        content[place % len(content)] = value
    assert isinstance(tables.arrow_units(base64.b64encode(content)), dict)


def test_connections_that_share_a_database_see_files_as_they_are_now_and_nothing_of_each_other(tmp_path: Path) -> None:
    file = tmp_path / "scores.parquet"

    def write(number: int) -> None:
        with tables.connect() as connection:
            connection.execute(f"COPY (SELECT {number} AS score FROM range(1000)) TO '{file}' (FORMAT parquet)")
        os.utime(file, ns=(0, 0))

    def read() -> int:
        with tables.connect_to_read() as connection:
            return connection.read_parquet(str(file)).aggregate("sum(score)").fetchall()[0][0]

    def opened() -> int:
        (table,) = tables.open_tables(tmp_path, {"scores": file.name})
        return table.query(f"SELECT sum(score) FROM {table.source}")[0][0]

    write(1)
    size = file.stat().st_size
    assert (read(), opened()) == (1000, 1000)
    write(2)
    assert file.stat().st_size == size
    assert (read(), opened()) == (2000, 2000)
    with tables.connect_to_read() as one, tables.connect_to_read() as other:
        one.execute("CREATE TEMP TABLE mine AS SELECT 1")
        with pytest.raises(duckdb.CatalogException):
            other.execute("FROM mine")
