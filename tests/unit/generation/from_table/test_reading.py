"""Any table becomes one Parquet file with names of its own; one that is not a table is refused with its line."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import duckdb
import h5py
import numpy as np
import pytest

from beampermit.errors import BadInput
from beampermit.generation.from_table.reading import Header, copy_table, open_file
from support.csv_tables import numbers, write_csv


def read(file: Path, text: str | bytes) -> tuple[Header, ...]:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return copy_table(file, file.with_name("copy.parquet"))


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", None, "the file is empty"),
        ("1,2\n3,4\n", 1, "the first line has numbers, not the names of the columns"),
        ("a,b\n1,2\n3,4,5\n6,7\n", 3, "this line has 3 values, and there are 2 columns"),
        ("a,b\n1,2\n3\n4,5,6\n7,8,9\n", 1, "the first 3 lines do not have the columns of the rest"),
        ("é,b\n1,2\n".encode("latin1"), 1, "This file is not utf-8 encoded"),
        (f"{'a' * 200_000},b\n1,2\n", 1, "field larger than field limit"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(
    text: str | bytes, line: int | None, what: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        read(tmp_path / "x.csv", text)
    assert what in caught.value.message
    assert caught.value.line == line
    assert not (tmp_path / "copy.parquet").exists()


def test_names_that_are_empty_or_there_twice_get_others_which_nobody_has(tmp_path: Path) -> None:
    headers = read(tmp_path / "x.csv", "a,a,,a (2),b [mm]\n1,2,3,4,5\n")
    assert [header.given for header in headers] == ["a", "a", "", "a (2)", "b [mm]"]
    assert [header.name for header in headers] == ["a", "a (3)", "column 3", "a (2)", "b [mm]"]
    copy = tmp_path / "copy.parquet"
    assert duckdb.sql(f"FROM '{copy}'").fetchall() == [(1, 2, 3, 4, 5)]
    assert list(open_file(copy).columns) == [header.name for header in headers]


def test_names_that_differ_in_case_alone_are_two_columns_to_sql_too(tmp_path: Path) -> None:
    headers = read(tmp_path / "x.csv", "X,x,y,Y (2),Y\n1,2,3,4,5\n")
    assert [header.given for header in headers] == ["X", "x", "y", "Y (2)", "Y"]
    assert [header.name for header in headers] == ["X", "x (2)", "y", "Y (2)", "Y (3)"]
    assert list(open_file(tmp_path / "copy.parquet").columns) == [header.name for header in headers]


@pytest.mark.slow
def test_types_hold_for_rows_that_the_first_thousands_say_nothing_of(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", ["a", "b"], [*["1"] * 60_000, "stuck"], [2] * 60_001)
    copy_table(tmp_path / "x.csv", tmp_path / "copy.parquet")
    assert open_file(tmp_path / "copy.parquet").columns == {"a": "VARCHAR", "b": "BIGINT"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "# made by a scope\n# on a Monday\na;b\n1,5;2\n2,5;NaN\n"),
        ("x.csv", "a;b\n1,5;2,0\n2,5;NaN\n"),
        ("x.tsv", "a\tb\n1.5\t2\n2.5\tNA\n"),
        ("x.csv", '\ufeffa,"b"\n1.5,2\n2.5,\n'),
    ],
)
def test_csv_is_read_as_laboratories_write_it(name: str, text: str, tmp_path: Path) -> None:
    assert [header.name for header in read(tmp_path / name, text)] == ["a", "b"]
    assert duckdb.sql(f"SELECT a, b FROM '{tmp_path / 'copy.parquet'}'").fetchall() == [(1.5, 2), (2.5, None)]


def test_packed_csv_is_read(tmp_path: Path) -> None:
    headers = read(tmp_path / "x.csv.gz", gzip.compress(b",b\n1,2\n"))
    assert [(header.given, header.name) for header in headers] == [("", "column 1"), ("b", "b")]


def test_parquet_keeps_its_bytes_and_its_units(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    select = "SELECT 1.0 AS x, 0 AS __index_level_0__"
    duckdb.sql(f"""COPY ({select}) TO '{file}' (FORMAT parquet, KV_METADATA {{units: '{{"x": "mm"}}'}})""")
    x, index = copy_table(file, tmp_path / "copy.parquet")
    assert (x.unit, x.nameless, index.nameless) == ("mm", False, True)
    assert (tmp_path / "copy.parquet").read_bytes() == file.read_bytes()


def test_parquet_with_one_name_twice_and_with_structs_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    select = "SELECT {'xxxx': 1, 'b': {'xxxx': 2}} AS s, [1, 2] AS list, 3.0::DOUBLE AS xxxx, 4.0::DOUBLE AS yyyy"
    duckdb.sql(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
    file.write_bytes(file.read_bytes().replace(b"yyyy", b"xxxx"))  # duckdb itself writes no name twice
    headers = copy_table(file, tmp_path / "copy.parquet")
    assert [(header.given, header.name) for header in headers] == [
        ("s", "s"), ("list", "list"), ("xxxx", "xxxx"), ("xxxx", "xxxx (2)")
    ]  # fmt: skip
    copied = duckdb.sql(f"""SELECT xxxx, "xxxx (2)" FROM '{tmp_path / "copy.parquet"}'""")
    assert copied.fetchall() == [(3.0, 4.0)]


def test_hdf5_has_a_column_for_each_array_with_its_unit(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["run/x"] = np.array(numbers(1))
        file["run/x"].attrs["unit"] = "mm"
        file["run/state"] = ["on"] * 40
    state, x = copy_table(tmp_path / "x.h5", tmp_path / "copy.parquet")
    assert (state.name, x.name, x.unit) == ("state", "x", "mm")
    assert open_file(tmp_path / "copy.parquet").columns == {"state": "VARCHAR", "x": "DOUBLE"}


def test_hdf5_with_a_link_to_nothing_is_read_without_it(tmp_path: Path) -> None:
    file = tmp_path / "x.h5"
    with h5py.File(file, "w") as opened:
        opened["x"], opened["there"] = np.zeros(3), h5py.SoftLink("/nowhere")
        opened["outside"] = h5py.ExternalLink("nowhere.h5", "x")
    assert [header.name for header in copy_table(file, tmp_path / "copy.parquet")] == ["x"]


def test_hdf5_that_is_no_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.h5"
    with h5py.File(file, "w") as opened:
        opened["x"], opened["y"], opened["z"] = np.zeros(3), np.zeros(3), np.zeros(4)
    with pytest.raises(
        BadInput, match="its arrays differ in length, so they are no table: z has 4 rows, others have 3"
    ):
        copy_table(file, tmp_path / "copy.parquet")
    with h5py.File(file, "w") as opened:
        opened["table"] = np.zeros(3, dtype=[("x", "f8")])
    with pytest.raises(BadInput, match="as pandas or PyTables write it"):
        copy_table(file, tmp_path / "copy.parquet")
    with h5py.File(file, "w"):
        pass
    with pytest.raises(BadInput, match="the file has no arrays"):
        copy_table(file, tmp_path / "copy.parquet")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(BadInput, match="the library that reads HDF5 is not installed") as caught:
        copy_table(file, tmp_path / "copy.parquet")
    assert caught.value.hint == "pip install 'beampermit[hdf5]'"


@pytest.mark.parametrize(
    ("name", "what"),
    [("x.xlsx", r"'\.xlsx' cannot be read"), ("x.parquet", "cannot be read: .*"), ("x.h5", "cannot be read: ")],
)
def test_other_files_are_refused(name: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=what):
        read(tmp_path / name, "no table")
    with pytest.raises(BadInput, match="there is no such file"):
        copy_table(tmp_path / "other.csv", tmp_path / "copy.parquet")
    assert (tmp_path / name).read_text() == "no table"
