"""Rows are checked by their values, never by footer statistics; scalars and lists alike."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from beampermit.contract import Signal
from beampermit.contract.dataset import Dataset
from beampermit.datasets import row_checks
from beampermit.datasets.column_rules import ColumnRule
from beampermit.datasets.overlap import overlaps
from beampermit.datasets.requests.store import write_table
from beampermit.datasets.row_checks import RowReport, check_rows
from beampermit.datasets.tables import open_tables
from beampermit.project import Project

TUNE = Signal(name="tune", source="derived", unit="1", range=(0, 1))


def write(file: Path, values: str) -> None:
    columns = f"SELECT i AS shot, v AS tune, true AS good FROM (VALUES {values}) AS t(i, v)"
    duckdb.sql(f"COPY ({columns}) TO '{file}' (FORMAT parquet, COMPRESSION uncompressed)")


def patch(file: Path, before: float, after: float, *, footer: bool) -> None:
    """Replace a number in the footer, or in the data before it."""
    content = file.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    parts = [content[:start], content[start:]]
    old = struct.pack("<d", before)
    assert old in parts[footer]
    parts[footer] = parts[footer].replace(old, struct.pack("<d", after))
    file.write_bytes(b"".join(parts))


def judged(file: Path) -> RowReport:
    (table,) = open_tables(file.parent, {"train": file.name})
    return check_rows(table, (TUNE,), ("shot",), "good")


def test_numbers_inside_their_range_are_valid(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", "(1, 0.0::DOUBLE), (2, 0.5), (3, 1.0)")
    report = judged(tmp_path / "a.parquet")
    assert report.problems == []
    assert report.rows == 3


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ("(1, 0.5::DOUBLE), (2, NULL), (3, 1.0)", "tune is null in 1 of 3 rows (first: shot 2)"),
        ("(1, 0.5::DOUBLE), (2, 1.5), (3, 1.0)", "tune reaches 1.5, outside [0, 1], in 1 of 3 rows (first: shot 2)"),
        ("(1, 0.5::DOUBLE), (2, 'nan'), (3, 1.0)", "tune is not finite in 1 of 3 rows (first: shot 2)"),
        ("(1, 0.5::DOUBLE), (1, 0.5), (3, 1.0)", "1 of 3 rows repeat the key of another (first: shot 1)"),
    ],
)
def test_invalid_rows_are_counted_and_named(tmp_path: Path, values: str, problem: str) -> None:
    write(tmp_path / "a.parquet", values)
    assert judged(tmp_path / "a.parquet").problems == [problem]


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "DECIMAL(9, 8)"])
def test_bounds_are_exact_in_every_precision(tmp_path: Path, kind: str) -> None:
    """0.1 in single precision is 0.100000001, and just outside [0, 0.1]; the next number below is inside."""
    tenth = Signal(name="tune", source="derived", unit="1", range=(0, 0.1))
    write(tmp_path / "a.parquet", f"(1, 0.1::{kind}), (2, 0.09999999::{kind})")
    (table,) = open_tables(tmp_path, {"train": "a.parquet"})
    assert bool(check_rows(table, (tenth,), ("shot",), "good").problems) == (kind == "FLOAT")


VALVE = Signal.model_validate({"name": "x", "pv": "VALVE", "words": ["OUT", "MOVING", "IN"]})
SAID = "0 = 'OUT', 1 = 'MOVING', 2 = 'IN'"
WORDS = {
    "numbers": ("0, 1, 2", ""),
    "whole floats": ("0.0::DOUBLE, 2.0", ""),
    "between two": (
        "0.0::DOUBLE, 1.5, 2.0",
        f"x has numbers that stand for no word ({SAID}) in 1 of 3 rows (first: shot 2)",
    ),
    "too many": ("0, 3", "x reaches 3, outside [0, 2], in 1 of 2 rows (first: shot 2)"),
    "texts": (
        "'OUT', 'IN'",
        f"x has type VARCHAR, not the numbers of its words ({SAID}), as `beampermit data request`",
    ),
}


@pytest.mark.parametrize("case", WORDS)
def test_a_column_of_words_has_their_numbers(tmp_path: Path, case: str) -> None:
    values, said = WORDS[case]
    found = problems_of(tmp_path, values, ColumnRule.of(VALVE))
    assert len(found) == bool(said)
    assert not found or found[0].startswith(said)


def test_numbers_that_were_written_for_other_words_are_refused(tmp_path: Path) -> None:
    for stated, said in (
        (SAID, []),
        ("0 = 'IN', 1 = 'OUT'", [f"x is in 0 = 'IN', 1 = 'OUT', the contract says {SAID}"]),
    ):
        write_table(duckdb.connect(), "SELECT 1 AS shot, true AS good, 2 AS x", tmp_path / "x.parquet", {"x": stated})
        (table,) = open_tables(tmp_path, {"train": "x.parquet"})
        assert check_rows(table, (VALVE,), ("shot",), "good").problems == said


def test_a_wrong_footer_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    write(file, "(1, 0.25::DOUBLE), (2, 7.0), (3, 9.0)")
    patch(file, 9.0, 0.5, footer=True)
    assert duckdb.sql(f"SELECT max(tune) FROM '{file}'").fetchall() == [(0.5,)], "duckdb believes it"
    assert judged(file).problems == ["tune reaches 9, outside [0, 1], in 2 of 3 rows (first: shot 2)"]


def test_a_nan_that_the_footer_leaves_out_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    write(file, "(1, 0.25::DOUBLE), (2, 0.5), (3, 0.75)")
    patch(file, 0.5, float("nan"), footer=False)
    assert duckdb.sql(f"SELECT max(tune) FROM '{file}'").fetchall() == [(0.75,)], "duckdb believes it"
    assert judged(file).problems == ["tune is not finite in 1 of 3 rows (first: shot 2)"]


def test_splits_that_share_rows_are_found_despite_wrong_footers(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", "(1, 0.25::DOUBLE), (2, 0.5), (3, 0.75)")
    write(tmp_path / "test.parquet", "(4, 0.5::DOUBLE), (5, 0.625), (6, 0.6875)")
    patch(tmp_path / "test.parquet", 0.5, 100.0, footer=True)
    patch(tmp_path / "test.parquet", 0.6875, 200.0, footer=True)
    tables = open_tables(tmp_path, {"train": "train.parquet", "test": "test.parquet"})
    dataset = Dataset.model_validate(
        {
            "request": {"source": "files"},
            "raw": "raw",
            "labels": "labels",
            "splits": {"train": "train.parquet", "test": "test.parquet"},
            "key": ["shot"],
            "target": "good",
            "split": {"by": ["tune"]},
        }
    )
    assert [overlap.message for overlap in overlaps(tables, dataset)] == [
        "train and test share 1 value of tune, such as 0.5"
    ]


def test_a_path_that_looks_like_a_pattern_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "run[1]*"
    folder.mkdir()
    write(folder / "a.parquet", "(1, 0.5::DOUBLE)")
    assert judged(folder / "a.parquet").problems == []


def problems_of(folder: Path, values: str, *rules: ColumnRule) -> list[str]:
    """Of rows with the columns `shot`, `good` and `x`."""
    query = f"SELECT row_number() OVER () AS shot, true AS good, x FROM (SELECT unnest([{values}]) AS x)"
    duckdb.sql(f"COPY ({query}) TO '{folder / 'x.parquet'}' (FORMAT parquet)")
    (table,) = open_tables(folder, {"train": "x.parquet"})
    return check_rows(table, (), ("shot",), "x", rules=rules).problems


SHAPES = {
    "nested": ("[[1, 2, 3], [4, 5, 6]]", ""),
    "fixed-size lists": ("[[1, 2, 3], [4, 5, 6]]::FLOAT[3][2]", ""),
    "flat": ("[1, 2, 3, 4, 5, 6]", ""),
    "turned": ("[[1, 2], [3, 4], [5, 6]]", "x is not 2 x 3 in 2 of 2 rows (first: shot 1)"),
    "ragged": ("[[1, 2, 3, 4], [5, 6]]", "x is not 2 x 3 in 2 of 2 rows (first: shot 1)"),
    "a row too many": ("[[1, 2, 3], [4, 5, 6], []]", "x is not 2 x 3 in 2 of 2 rows (first: shot 1)"),
    "a null inside": ("[[1, NULL, 3], [4, 5, 6]]", "x is null in 2 of 2 rows (first: shot 1)"),
    "a row that is null": ("[[1, 2, 3], NULL]", "x is not 2 x 3 in 2 of 2 rows (first: shot 1)"),
    "too short": ("[1, 2, 3, 4, 5]", "x does not have 6 values in 2 of 2 rows (first: shot 1)"),
    "deeper": ("[[[1, 2, 3], [4, 5, 6]]]", "x has type INTEGER[][][], not lists of 2 x 3 numbers"),
    "outside": ("[[1, 2, 3], [4, 5, 10.5]]", "x reaches 10.5, outside [0, 10], in 2 of 2 rows (first: shot 1)"),
    "on the limit": ("[[1, 2, 3], [4, 5, 10]]", ""),
}


@pytest.mark.parametrize("case", SHAPES)
def test_a_shape_is_compared_as_a_shape(tmp_path: Path, case: str) -> None:
    values, problem = SHAPES[case]
    found = problems_of(tmp_path, f"{values}, {values}", ColumnRule("x", shape=(2, 3), range=(0, 10)))
    assert found == [problem] * bool(problem)


TEXTS = {
    "declared": ("'stuck', 'none'", ""),
    "whole numbers": ("1, 2", ""),
    "yes or no": ("true, false", ""),
    "one that is not": (
        "'none', 'stuk'",
        "x has a value that is not declared, 'stuk', in 1 of 2 rows (first: shot 2); is it 'stuck'?",
    ),
    "another case": (
        "'none', 'NONE'",
        "x has a value that is not declared, 'NONE', in 1 of 2 rows (first: shot 2)"
        "; allowed are none, stuck, 1, 2, true, false",
    ),
    "an empty text": (
        "'none', ''",
        "x has a value that is not declared, '', in 1 of 2 rows (first: shot 2)"
        "; allowed are none, stuck, 1, 2, true, false",
    ),
    "fractions": ("1.5::DOUBLE, 2", "x has type DOUBLE, not text with one of its declared values"),
    "lists": ("['none'], ['none']", "x has type VARCHAR[], not text with one of its declared values"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_column_of_text_has_the_values_of_the_contract(tmp_path: Path, case: str) -> None:
    values, problem = TEXTS[case]
    rule = ColumnRule("x", values=("none", "stuck", "1", "2", "true", "false"))
    assert problems_of(tmp_path, values, rule) == [problem] * bool(problem)


TARGETS = {
    "inside": ("0.0::DOUBLE, 10", ""),
    "above": ("1::DOUBLE, 1e9", "x reaches 1e+09 mm, outside [0, 10] mm, in 1 of 2 rows (first: shot 2)"),
    "just above": ("1::DOUBLE, 10.0001", "x reaches 10.0001 mm, outside [0, 10] mm, in 1 of 2 rows (first: shot 2)"),
    "NaN": ("1::DOUBLE, 'nan'", "x is not finite in 1 of 2 rows (first: shot 2)"),
    "infinite": ("1::FLOAT, '-inf'", "x is not finite in 1 of 2 rows (first: shot 2)"),
    "yes or no": ("true, false", ""),
    "whole numbers": ("0, 10", ""),
    "decimals": ("0.5, 9.75", ""),
    "text": ("'0.5', 'high'", "x has type VARCHAR, not numbers"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_a_target_is_finite_and_in_the_range_of_its_output(tmp_path: Path, case: str) -> None:
    values, problem = TARGETS[case]
    assert problems_of(tmp_path, values, ColumnRule("x", unit="mm", range=(0, 10))) == [problem] * bool(problem)


@pytest.mark.slow
def test_without_a_rule_a_target_of_numbers_is_finite(tmp_path: Path) -> None:
    for values in ("1e300, -1e300", "3e38::FLOAT, -3e38", "true, false", "'a', 'b'", "9223372036854775807, 0"):
        assert problems_of(tmp_path, values) == [], values
    assert problems_of(tmp_path, "1::DOUBLE, 'nan'") == ["x is not finite in 1 of 2 rows (first: shot 2)"]
    assert problems_of(tmp_path, "1::FLOAT, 'inf'") == ["x is not finite in 1 of 2 rows (first: shot 2)"]


@pytest.mark.parametrize("limit", [0, 10**9])
def test_repeated_keys_are_found_in_memory_and_by_duckdb_alike(
    dvc_project: Project, alter: Callable[..., None], monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(row_checks, "SORTED", limit)
    alter("train", "*", "UNION ALL FROM (SELECT * FROM '{file}' LIMIT 1)")
    contract = dvc_project.contract
    (table,) = open_tables(dvc_project.root, {"train": contract.dataset.splits["train"]})
    report = row_checks.check_rows(table, contract.signals.inputs, contract.dataset.key, contract.dataset.target)
    (problem,) = report.problems
    assert problem.startswith("1 of 9 rows repeat the key of another (first: acquisition a01-")
