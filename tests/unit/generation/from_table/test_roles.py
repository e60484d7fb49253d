"""Each column has one part; what cannot have the part that it is given is refused, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import BadInput
from beampermit.generation.from_table.roles import Roles
from support.csv_tables import ROWS, numbers, write_csv

Assigned = Callable[..., Roles]
GROUPS = [f"g{row % 4}" for row in range(ROWS)]


def with_gaps(values: list[Any], *rows: int) -> list[Any]:
    return ["" if row in rows else value for row, value in enumerate(values)]


@pytest.mark.slow
def test_what_is_not_named_is_an_input_unless_it_cannot_be_one(assigned: Assigned, tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "": list(range(ROWS)),
        "shot": [row + 900 for row in range(ROWS)],
        "y": numbers(),
        "roi": GROUPS,
        "x": numbers(1),
        "mode": ["on", "off"] * (ROWS // 2),
        "empty": [""] * ROWS,
        "always": [3.5] * ROWS,
        "comment": [f"remark {row}" for row in range(ROWS)],
        "mixed": ["stuck", *numbers(2)[1:]],
        "at": [f"2026-01-01T00:00:{row:02}" for row in range(ROWS)],
        "rare": with_gaps(numbers(3), *range(ROWS // 2 + 1)),
        "after [mm]": numbers(4),
    }
    found = assigned(
        write_csv(tmp_path / "x.csv", list(columns), *columns.values()), "y", groups=("roi",), ignored=("after",)
    )
    assert [column.name for column in found.inputs] == ["x", "mode"]
    assert found.key is not None
    assert found.key.name == "column 1"
    assert found.left_out == {
        "after [mm]": "--ignore names it",
        "shot": "it numbers the rows",
        "empty": "it has no value",
        "always": "it is constant",
        "comment": f"it is text of about {ROWS} different values",
        "mixed": "it holds numbers and 1 other text, 'stuck' first, in row 1",
        "at": "it holds times",
        "rare": f"{ROWS // 2 + 1} of {ROWS} rows have no value",
    }
    assert found.classes["mode"].values == ("off", "on")


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["a", "b"] * 20, ("a", "b")),
        (["false", "true"] * 20, ("false", "true")),
        ([0, 1] * 20, ("0", "1")),
        (["0.0", "1.0", "2.5", "3.0"] * 10, None),
        (["0.0", "1.0"] * 20, ("0.0", "1.0")),
        ([row % 10 for row in range(ROWS)], tuple("0123456789")),
        ([row % 11 for row in range(ROWS)], None),
        (numbers(), None),
    ],
)
def test_text_booleans_and_few_whole_numbers_are_classes(
    values: list[Any], classes: tuple[str, ...] | None, assigned: Assigned, tmp_path: Path
) -> None:
    found = assigned(write_csv(tmp_path / "x.csv", ["x", "y"], numbers(1), values), "y").classes.get("y")
    assert (found and found.values) == classes


@pytest.mark.parametrize(
    ("header", "values", "named", "what"),
    [
        (["x", "y"], numbers(), {"outputs": ("z",)}, "--output 'z': the table has no such column; it has x, y"),
        (["x", "sigma"], numbers(), {"outputs": ("sigm",)}, "no such column; did you mean 'sigma'?"),
        (["x", "x"], numbers(), {"outputs": ("x",)}, "--output 'x': 2 columns have this name; rename one"),
        (["x", "y"], [""] * ROWS, {}, "--output 'y': this column has no value"),
        (["x", "y"], [2.5] * ROWS, {}, "--output 'y': this column is constant, so there is nothing to learn"),
        (["x", "y"], ["stuck", *numbers()[1:]], {}, "it holds numbers and 1 other text, 'stuck' first, in row 1"),
        (["x", "y"], [f"t{row}" for row in range(ROWS)], {}, "is text of more than 20 different values"),
        (["x", "y"], numbers(), {"outputs": ("y",), "groups": ("y",)}, "'y': this column is given as --output already"),
        (["x", "y"], numbers(), {"ignored": ("z",)}, "--ignore 'z': the table has no such column; it has x, y"),
        (["x", "y"], numbers(), {"ignored": ("y",)}, "--ignore 'y': this column is given as --output already"),
        (["x", "y"], numbers(), {"ignored": ("x",)}, "an input of the model; 'x' is left out: --ignore names it"),
        (
            ["x", "y"],
            ["a", "b"] * 20,
            {"outputs": ("x",), "groups": ("y",)},
            "has 2 values; at least 3 are needed, one",
        ),
        (
            ["x", "Row"],
            [*range(4)] * 10,
            {"outputs": ("x",), "groups": ("Row",)},
            "'Row': a column of this name numbers",
        ),
        (["x", "y"], ["noon"] * ROWS, {"outputs": ("x",), "time": "y"}, "--time 'y': 'noon' is not a time such as"),
        (["x", "y"], numbers(), {"outputs": ("x",), "time": "y"}, "are no times since 1970 in s, ms, us or ns"),
        (["x", "y"], ["2026-01-01T00:00:00"] * ROWS, {"outputs": ("x",), "time": "y"}, "has 1 value; at least 3"),
        (
            ["y", "x"],
            [4] * ROWS,
            {"outputs": ("y",)},
            "no column for an input of the model; 'x' is left out: it is cons",
        ),
        (
            ["x", "y"],
            with_gaps(numbers(), *range(11, ROWS)),
            {},
            f"11 of {ROWS} rows have a value in each of 2 columns",
        ),
    ],
)
def test_what_no_model_can_be_made_of_is_refused(
    header: list[str], values: list[Any], named: dict[str, Any], what: str, assigned: Assigned, tmp_path: Path
) -> None:
    file = write_csv(tmp_path / "x.csv", header, numbers(1), values)
    with pytest.raises(BadInput) as caught:
        assigned(file, *named.pop("outputs", ("y",)), **named)
    assert what in caught.value.message
    assert caught.value.file == "x.csv"


@pytest.mark.parametrize(("rows", "said"), [(0, "no rows"), (1, "1 row"), (29, "29 rows")])
def test_too_few_rows_are_refused(rows: int, said: str, assigned: Assigned, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "x.csv", ["x", "y"], numbers(1, rows), numbers(2, rows))
    with pytest.raises(BadInput, match=f"the table has {said}; at least 30 are needed"):
        assigned(file, "y")


def test_thirty_rows_are_enough(assigned: Assigned, tmp_path: Path) -> None:
    assert assigned(write_csv(tmp_path / "x.csv", ["x", "y"], numbers(1, 30), numbers(2, 30)), "y").rows == 30


@pytest.mark.parametrize(("factor", "unit"), [(1, "s"), (1000, "ms"), (10**6, "us"), (10**9, "ns")])
def test_times_may_be_numbers_since_1970(factor: int, unit: str, assigned: Assigned, tmp_path: Path) -> None:
    times = [(1_790_000_000 + row) * factor for row in range(ROWS)]
    found = assigned(write_csv(tmp_path / "x.csv", ["x", "y", "t"], numbers(), numbers(1), times), "y", time="t")
    assert found.epoch == unit


def test_rows_that_lack_a_value_are_counted_once(assigned: Assigned, tmp_path: Path) -> None:
    x, y = with_gaps(numbers(), 1, 2), with_gaps(numbers(1), 2, 3)
    found = assigned(write_csv(tmp_path / "x.csv", ["x", "y"], x, y), "y")
    assert (found.rows, found.complete) == (ROWS, ROWS - 3)
