"""A model whose scores differ between training and service, batch and single row, or two rounds is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from beampermit.contract import Signal
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.models.replay import compare_scores
from beampermit.models.scoring import score, single_row_scores
from support.tiny_model import SIGNALS, saved


def write(path: Path, **columns: list[float | None]) -> Path:
    rows = list(zip(*columns.values(), strict=True))
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(str(tuple("NULL" if value is None else float(value) for value in row)) for row in rows)
    text = f"SELECT * FROM (VALUES {values}) AS t({names})".replace("'NULL'", "NULL")
    with duckdb.connect() as connection:
        connection.sql(text).write_parquet(str(path))
    return path


def outputs(tolerance: float | str) -> list[Signal]:
    names = "score", "orbit"
    return [Signal(name=name, pv="X", unit="1", range=(-1e9, 1e9), score_tolerance=tolerance) for name in names]


def written(folder: Path, batch: list[float | None], training: list[float | None], **more: Any) -> tuple[Path, Path]:
    """Tables as the worker writes them: rows 0 and 2 alone, in two rounds, the second in another order."""
    rounds = more.get("rounds", [[batch[0], batch[2]], [batch[0], batch[2]]])
    write(
        single_row_scores(folder / "scores.parquet"),
        **{
            "beampermit.row": [0, 2, 2, 0],
            "beampermit.round": [0, 0, 1, 1],
            "beampermit.milliseconds": [1, 1, 1, 1],
            more.get("name", "score"): [*rounds[0], *reversed(rounds[1])],
        },
    )
    return write(folder / "scores.parquet", score=batch), write(folder / "training.parquet", score=training)


SAME: list[float | None] = [0.1, 0.2, 0.3, None]
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "all the same": ({}, ""),
    "training within the tolerance": ({"training": [0.1, 0.2005, 0.3, None]}, ""),
    "another score in training": (
        {"training": [0.1, 0.25, 0.3, None]},
        "score of row 1 is 0.25 by training's code and 0.2 by the saved model",
    ),
    "NaN only in training": (
        {"training": [0.1, None, 0.3, None]},
        "score of row 1 is not a number by training's code and 0.2 by the saved model",
    ),
    "another score alone": (
        {"rounds": [[0.1, 0.4], [0.1, 0.4]]},
        "score of row 2 is 0.3 in a batch and 0.4 alone",
    ),
    "another score the second time": (
        {"rounds": [[0.1, 0.3], [0.1, 0.35]]},
        "score of row 2 is 0.3 after some rows and 0.35 after others: the model keeps state between rows",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_difference_names_the_row_and_both_scores(tmp_path: Path, case: str) -> None:
    more, words = CASES[case]
    found = compare_scores(*written(tmp_path, SAME, more.pop("training", SAME), **more), outputs(1e-3))
    assert found.problem == (f"{words}, 0.001 allowed" if words else "")
    assert (found.rows, found.single_rows) == (4, 2)


@pytest.mark.slow
def test_tables_of_other_rows_or_outputs_are_refused(tmp_path: Path) -> None:
    scores, training = written(tmp_path, SAME, SAME[:3])
    with pytest.raises(Failed, match="training recorded scores of 3 rows, the inputs have 4"):
        compare_scores(scores, training, outputs(1e-3))
    with pytest.raises(Failed, match="training recorded probability, the saved model gives score"):
        compare_scores(scores, write(training, probability=SAME), outputs(1e-3))
    training.write_text("a,b")
    with pytest.raises(Failed, match="not a table of scores"):
        compare_scores(scores, training, outputs(1e-3))


SINGLE = 'SELECT 0 AS "beampermit.row", unnest([0, 1]) AS "beampermit.round", {} AS orbit'
ORBITS: dict[str, tuple[str, str, str]] = {
    "the same": ("[[1, 2, 3], [4, 5, 6]]", "[[1, 2, 3], [4, 5, 6]]", ""),
    "recorded as flat lists": ("[[1, 2, 3], [4, 5, 6]]", "[1, 2, 3, 4, 5, 6]", ""),
    "just inside": ("[[1, 2, 3], [4, 5, 6]]", "[[1, 2, 3], [4, 5, 6.0009]]", ""),
    "just outside": (
        "[[1, 2, 3], [4, 5, 6]]",
        "[[1, 2, 3], [4, 5, 6.0011]]",
        "orbit[1, 2] of row 0 is 6.0011 by training's code and 6 by the saved model",
    ),
}


@pytest.mark.parametrize("case", ORBITS)
def test_arrays_are_compared_value_by_value(tmp_path: Path, case: str) -> None:
    served, recorded, words = ORBITS[case]
    with duckdb.connect() as connection:
        connection.sql(f"SELECT {served} AS orbit").write_parquet(str(tmp_path / "scores.parquet"))
        connection.sql(SINGLE.format(served)).write_parquet(str(single_row_scores(tmp_path / "scores.parquet")))
        connection.sql(f"SELECT {recorded} AS orbit").write_parquet(str(tmp_path / "training.parquet"))
    found = compare_scores(tmp_path / "scores.parquet", tmp_path / "training.parquet", outputs(1e-3))
    assert found.problem == (f"{words}, 0.001 allowed" if words else "")


@pytest.mark.slow
def test_arrays_of_another_shape_are_not_compared(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        connection.sql("SELECT [[1, 2, 3], [4, 5, 6]] AS orbit").write_parquet(str(tmp_path / "scores.parquet"))
        connection.sql(SINGLE.format("[1, 2, 3, 4, 5, 6]")).write_parquet(str(tmp_path / "scores.single.parquet"))
        connection.sql("SELECT [[1, 2], [3, 4], [5, 6]] AS orbit").write_parquet(str(tmp_path / "training.parquet"))
    with pytest.raises(Failed, match="recorded orbit as 3 x 2 numbers, the saved model gives 2 x 3 numbers"):
        compare_scores(tmp_path / "scores.parquet", tmp_path / "training.parquet", outputs(1e-3))
    with pytest.raises(Failed, match="the single rows are not rows of the inputs"):
        compare_scores(tmp_path / "scores.parquet", tmp_path / "scores.parquet", outputs(1e-3))


@pytest.mark.slow
@pytest.mark.parametrize(("tolerance", "within"), [("26%", True), ("24%", False), (0.051, True), (0.049, False)])
def test_a_tolerance_is_a_number_or_a_part_of_the_span(tmp_path: Path, tolerance: float | str, within: bool) -> None:
    found = compare_scores(*written(tmp_path, SAME, [0.1, 0.25, 0.3, None]), outputs(tolerance))
    assert (found.problem == "") is within
    assert found.worst.size == pytest.approx(0.05)


DEFECTS: dict[str, tuple[dict[str, str], str]] = {
    "none": ({}, ""),
    "the batch's own mean": ({"result": 'pd.DataFrame({"score": mean(turns) - mean(turns).mean()})'}, "in a batch and"),
    "a mean that goes on": (
        {
            "load": "self.seen = 0.0",
            "result": 'self.keep(pd.DataFrame({"score": mean(turns) + 0.1 * self.seen}), mean(turns)[-1])',
        },
        "the model keeps state between rows",
    ),
    "another transform": ({"result": 'pd.DataFrame({"score": mean(turns) * 1.01})'}, "by training's code and"),
}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Rows of three turns whose mean is the row's number."""
    path = tmp_path / "test.parquet"
    with duckdb.connect() as connection:
        connection.sql("SELECT [i, i - 1, i + 1]::double[] AS turns FROM range(300) AS t(i)").write_parquet(str(path))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_model_with_another_transform_in_service_is_reported(
    probed: Environment, inputs: Path, tmp_path: Path, defect: str
) -> None:
    made, words = DEFECTS[defect]
    training = write(tmp_path / "training.parquet", score=[float(number) for number in range(300)])
    scores = tmp_path / "scores.parquet"
    score(probed, saved(tmp_path / "model", **made), inputs, scores, SIGNALS)
    found = compare_scores(scores, training, outputs(1e-4))
    assert words in found.problem
    assert bool(words) == bool(found.problem)
    assert 5 <= found.single_rows <= 100, "as many as a second is enough for"


@pytest.mark.slow
def test_time_and_memory_are_those_of_the_model(probed: Environment, inputs: Path, tmp_path: Path) -> None:
    """A slow model with much memory, started by a process with more."""
    ours = bytearray(b"1") * (500 * 2**20)
    heavy = {"load": "self.held = np.ones(300 * 2**17)", "result": f'(__import__("time").sleep(0.02), {MEAN})[1]'}
    plain = score(probed, saved(tmp_path / "plain"), inputs, tmp_path / "plain.parquet", SIGNALS)
    found = score(probed, saved(tmp_path / "heavy", **heavy), inputs, tmp_path / "heavy.parquet", SIGNALS)
    assert plain.memory < 400 < len(ours) / 2**20, "memory of the parent process does not count"
    assert found.memory > plain.memory + 280
    assert found.p50 > 20 > plain.p50
    assert found.single_rows < 50, "a slow model scores fewer rows: a round takes one second"
    assert found.worst >= found.p99


MEAN = 'pd.DataFrame({"score": mean(turns)})'
