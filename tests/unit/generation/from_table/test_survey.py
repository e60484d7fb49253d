"""What a table says of itself: types, missing values, ranges, and the step of numbers on a grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from beampermit.generation.from_table.survey import Survey, grid
from support.csv_tables import ROWS, numbers, write_csv

Surveyed = Callable[[Path], Survey]


def test_ends_and_missing_values_are_those_of_finite_numbers(surveyed: Surveyed, tmp_path: Path) -> None:
    values = [1.5, 2.5, "NaN", "inf", "-inf", "", 3.5, 0.25]
    found = surveyed(write_csv(tmp_path / "x.csv", ["x", "y"], values, range(8)))
    x = found["x"]
    assert (found.rows, x.kind, x.present, x.lowest, x.highest) == (8, "number", 4, 0.25, 3.5)
    assert (found["y"].kind, found["y"].highest) == ("whole", 7)


def test_kinds_are_told_by_type(surveyed: Surveyed, tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    select = (
        "SELECT 1::TINYINT AS a, 1.5::DECIMAL(4,2) AS b, true AS c, 'on' AS d, TIMESTAMP '2026-01-01' AS e, [1.0] AS f,"
        " {'x': 1} AS g, 'u'::ENUM('u') AS h, NULL::DOUBLE AS i"
    )
    duckdb.sql(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
    found = surveyed(file)
    kinds = ["whole", "number", "boolean", "text", "time", "list", "other", "text", "number"]
    assert [column.kind for column in found.columns] == kinds
    assert found["i"].present == 0
    assert found["a"].constant
    assert found["d"].constant


def test_text_among_numbers_is_found_with_its_row(surveyed: Surveyed, tmp_path: Path) -> None:
    values: list[object] = [*numbers()]
    values[7] = "stuck"
    x = surveyed(write_csv(tmp_path / "x.csv", ["x", "y"], values, numbers(1)))["x"]
    assert (x.kind, x.numbers, x.text, x.text_row) == ("text", ROWS - 1, "stuck", 7)


@pytest.mark.slow
def test_the_step_is_that_of_all_rows_not_of_the_first(surveyed: Surveyed, tmp_path: Path) -> None:
    on, off = np.arange(30_000) % 97 / 100, np.arange(30_000) % 97 / 100
    off[29_000] = 0.1234
    found = surveyed(write_csv(tmp_path / "x.csv", ["on", "off"], on.tolist(), off.tolist()))
    assert found["on"].step == 0.01
    assert found["off"].step is None


@pytest.mark.parametrize(
    ("values", "kind", "step"),
    [
        (np.arange(100) / 10, np.float64, 0.1),
        (np.arange(100) / 10, np.float32, 0.1),
        (np.arange(100) * 0.002 - 7, np.float64, 0.002),
        (np.arange(100) * 10 / 4096, np.float64, 10 / 4096),
        (np.arange(100) * 25, np.float64, 25.0),
        (np.arange(100) + 1e6, np.float64, 1.0),
        (np.random.default_rng(0).random(100), np.float64, None),
        (np.random.default_rng(0).random(100), np.float32, None),
        (np.random.default_rng(0).random(100) * 1e300, np.float64, None),
        (np.arange(100) / 3, np.float64, None),
    ],
)
def test_numbers_on_a_decimal_grid_have_a_step_and_others_none(
    values: np.ndarray, kind: type, step: float | None
) -> None:
    found = grid(values.astype(kind).astype(np.float64), float(np.finfo(kind).eps))
    assert found == (None if step is None else pytest.approx(step, rel=1e-9))


def test_few_settings_are_no_grid(surveyed: Surveyed, tmp_path: Path) -> None:
    found = surveyed(write_csv(tmp_path / "x.csv", ["x", "y"], [row % 5 for row in range(ROWS)], range(ROWS)))
    assert (found["x"].step, found["y"].step) == (None, 1.0)
