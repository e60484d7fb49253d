"""Example: tests of how the table is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from {{ cookiecutter.package_name }} import source


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table and what stage `request` takes of a contract."""
    monkeypatch.chdir(tmp_path)
    signals = {"inputs": [{"name": name, "unit": "1", "range": [0, 9]} for name in ("x", "mode")]}
    split = {"by": ["shift"], "time": "at"}
    dataset = {"request": {"source": "table"}, "raw": "raw.parquet", "key": ["row"], "split": split}
    (tmp_path / "contract.yaml").write_text(yaml.safe_dump({"signals": signals, "dataset": dataset}))
    table = {
        "No.": [7, 8, 9, 10],
        "x [mm]": [1.0, np.nan, np.inf, 4.0],
        "mode": ["on", "off", "on", "off"],
        "at": [10, 20, 30, 40],
        "hit": [True, False, True, False],
        "level": [1, 2, 1, 2],
        "shift": ["a", "a", "b", "b"],
    }
    pd.DataFrame(table).to_parquet("table.parquet")
    return tmp_path


def acquire(**more: Any) -> pd.DataFrame:
    names = {"columns": {"x": "x [mm]"}, "values": {"mode": ["off", "on"]}}
    return source.acquire("table", {"path": "table.parquet", "key": "No.", "epoch": "s", **names, **more})


def test_rows_that_lack_a_value_are_left_out_and_the_others_keep_their_number() -> None:
    found = acquire()
    assert found["row"].tolist() == [7, 10]
    assert found["x"].tolist() == [1, 4]
    assert found["shift"].tolist() == ["a", "b"]


def test_texts_are_places_times_are_utc_and_classes_are_0_and_1() -> None:
    classes = {"hit_is_true": {"column": "hit", "value": "true"}, "level_is_2": {"column": "level", "value": "2"}}
    found = acquire(classes={**classes, "shift_is_a": {"column": "shift", "value": "a"}})
    assert found["mode"].tolist() == [1, 0]
    assert found["at"].tolist() == [pd.Timestamp(10, unit="s", tz="UTC"), pd.Timestamp(40, unit="s", tz="UTC")]
    assert [found[name].tolist() for name in ("hit_is_true", "level_is_2", "shift_is_a")] == [[1, 0], [0, 1], [1, 0]]


def test_rows_are_counted_where_no_column_numbers_them() -> None:
    assert acquire(key=None)["row"].tolist() == [0, 3]
    assert acquire(key=None, rows=1)["row"].tolist() == [0]


def test_columns_of_the_names_that_are_made_are_read_before_and_are_no_second_ones_to_sql() -> None:
    table = pd.DataFrame(
        {"row": [5.0, 6.0], "X": [1.0, 2.0], "Mode": ["on", "off"], "at": [10, 20], "shift": ["a", "b"]}
    )
    table.to_parquet("table.parquet")
    found = acquire(key=None, columns={"x": "row", "mode": "Mode"}, classes={"is_5": {"column": "row", "value": "5"}})
    assert found["row"].tolist() == [0, 1]
    assert (found["x"].tolist(), found["mode"].tolist(), found["is_5"].tolist()) == ([5, 6], [1, 0], [1, 0])
    assert sorted(found.columns) == sorted({name.lower() for name in found.columns})


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"path": "other.parquet"}, "there is no other.parquet; dvc pull brings it"),
        ({"columns": {}}, "the table has no column 'x'"),
        ({"values": {"mode": ["on"]}}, "options.values.mode lacks 'off'"),
    ],
)
def test_what_the_table_does_not_have_is_said(options: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        acquire(**options)


def test_another_source_is_refused() -> None:
    with pytest.raises(ValueError, match="'archiver' is not table"):
        source.acquire("archiver", {})
