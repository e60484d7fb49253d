"""`beampermit log`: what is printed and written, at 80 columns, and its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from support.forked_commands import beampermit
from support.prediction_logs import logged
from support.served import DEVICES, Served, serve, serving

__all__ = ["logged", "serve", "serving"]


@pytest.fixture
def folder(serving: Served, logged: Any, tmp_path: Path) -> Path:
    """A log in which the current is high and a device is NaN, and a day later all is too old."""
    log = logged(serving)
    serving.put([1.0, float("nan"), 3.0], device="B2")
    serving.current(severity=1, message="HIGH \x1b[31mred")
    for after in (1, 86400):
        log.publish(serving.cycle(after=after))
    log._write()
    return tmp_path / "log"


def run(folder: Path, *words: str) -> CompletedProcess[str]:
    return beampermit("log", *words, cwd=folder.parent, env={**os.environ, "COLUMNS": "80"})


def test_a_table_has_a_line_for_each_output_and_its_reason(folder: Path) -> None:
    finished = run(folder, "log", "--output", "score", "--rows", "5")
    assert finished.returncode == 0
    assert finished.stdout.splitlines() == [
        "UTC           version  row  output  value  severity",
        "2027-01-15",
        "08:00:01.000  3        B2   score   NaN    INVALID   B2:TBT is NaN",
        "08:00:01.000  3        B3   score   4      MINOR     RING:CURRENT has severity",
        " " * 53 + "MINOR (HIGH red)",
        "2027-01-16",
        *(f"08:00:01.000  3        {row}   score   NaN    INVALID   {row}:TBT is older than 5 s" for row in DEVICES),
    ]
    wide = run(folder, "log")
    assert max(map(len, wide.stdout.splitlines())) <= 80
    assert "\n    B1:TBT is older than 5 s\n" in wide.stdout


def test_json_has_all_columns_and_no_nan(folder: Path) -> None:
    (record,) = json.loads(run(folder, "log", "--format", "json", "--rows", "1").stdout)
    assert (record["served.row"], record["score.shown"], record["orbit.shown"]) == ("B3", None, [None] * 3)
    assert record["served.at"] == "2027-01-16T08:00:01.000000Z"


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_files_have_all_rows(folder: Path, kind: str) -> None:
    import duckdb

    finished = run(folder, "log", "--out", f"rows.{kind}")
    assert (finished.returncode, finished.stderr) == (0, f"rows.{kind}: 6 rows\n")
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT count(*) FROM '{folder.parent}/rows.{kind}'").fetchone() == (6,)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "nowhere: there is no such folder with a prediction log"),
        ((), "predictions: there is no such folder with a prediction log"),
        (("log", "--out", "rows.txt"), "rows.txt: this name says no format; end it in .parquet, .csv or .json"),
        (("log", "--out", "rows.csv", "--format", "table"), "a table is for the screen"),
        (("log", "--format", "parquet"), "Parquet is not for the screen"),
        (("log", "--since", "noon"), "'noon' is no time"),
    ],
)
def test_bad_input_is_one_line(folder: Path, words: tuple[str, ...], said: str) -> None:
    finished = run(folder, *words)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.startswith(f"beampermit: {said}")
    assert {file.name for file in folder.parent.iterdir() if file.name.startswith("rows")} == set()


def test_nothing_like_that_is_said(folder: Path) -> None:
    finished = run(folder, "log", "--until", "2027-01-15T08:00:01Z")
    assert (finished.returncode, finished.stdout) == (0, "no row of the log is like that\n")
