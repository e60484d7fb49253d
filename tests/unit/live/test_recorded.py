"""Recorded rows are judged as in service: what it would not ask for is left out, what it would not show is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from beampermit.contract import Contract
from beampermit.errors import Failed
from beampermit.live import recorded
from beampermit.live.answers import shown
from beampermit.live.recorded import RecordedRows
from beampermit.live.sharing import Raised
from beampermit.live.update import Value
from support.planted_processes import SIGNALS, asked_contract

Recording = Callable[..., RecordedRows]
(TURNS,) = SIGNALS["inputs"]
(SCORE,) = SIGNALS["outputs"]


@pytest.fixture
def rows_of(tmp_path: Path, contract_text: str) -> Recording:
    """Recorded rows of turns, as SQL; `inputs` are those of the contract."""

    def made(*turns: str, inputs: Any = (TURNS,), columns: str = "turns", **output: Any) -> RecordedRows:
        file = tmp_path / "rows.parquet"
        with duckdb.connect() as connection:
            values = ", ".join(f"({row})" for row in turns)
            connection.execute(f"COPY (SELECT * FROM (VALUES {values}) t({columns})) TO '{file}'")
        signals = {"inputs": [*inputs], "outputs": [{**SCORE, **output}]}
        return RecordedRows(contract(signals), file)

    def contract(signals: Any) -> Contract:
        return asked_contract(contract_text, signals=signals)

    return made


def row(*numbers: float) -> str:
    return f"[{', '.join(map(str, numbers))}]::DOUBLE[]"


@dataclass
class Mean:
    """A model that gives the mean of the turns, and `more` of it."""

    more: float = 0.0
    restarts: int = 0
    rows: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    most: int = 1000
    """Rows that it takes at once."""

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        turns = inputs["turns"]
        assert turns.dtype == np.float64
        self.rows += (len(turns),)
        if np.any(turns == 7):
            raise Raised("the model raised ValueError: seven")
        if len(turns) > self.most:
            raise Raised(f"the model raised ValueError: {len(turns)} rows")
        return {"score": turns.reshape(len(turns), -1).mean(axis=1) + self.more}


def scores(*values: float) -> dict[str, np.ndarray]:
    return {"score": np.array(values)}


@pytest.mark.slow
def test_rows_that_the_service_would_not_ask_for_are_no_fault_of_the_model(rows_of: Recording) -> None:
    rows = rows_of(
        row(1, 1, 1),
        row(1, 11, 1),
        "[1.0, 'nan'::DOUBLE, 1.0]",
        "[1, NULL, 1]::DOUBLE[]",
        "NULL",
        row(1, 1),
        row(10, 10, 10),
    )
    judged = rows.judge()
    assert (judged.rows, judged.refused, judged.sound.tolist()) == (7, 5, [0, 6])
    assert judged.refusal == "row 1: turns is 11, outside its range [-10, 10]"
    assert rows.not_shown(judged, scores(1, 99, np.nan, np.nan, np.nan, np.nan, 10)) == ""
    assert rows.differently_served(judged, scores(1, 99, 0, 0, 0, 0, 10), Mean()) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("turns", "refusal"),
    [
        ("[1.0, 'nan'::DOUBLE, 1.0]", "turns is NaN"),
        ("[1.0, 'inf'::DOUBLE, 1.0]", "turns is infinite"),
        (row(1, 1), "turns has something else than 3 numbers"),
        ("NULL::DOUBLE[]", "turns has something else than 3 numbers"),
        ("[1, NULL, 1]::DOUBLE[]", "turns is NaN"),
    ],
)
def test_each_refusal_has_its_reason(rows_of: Recording, turns: str, refusal: str) -> None:
    judged = rows_of(turns).judge()
    assert (judged.refused, judged.refusal) == (1, f"row 0: {refusal}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("score", "problem"),
    [
        (10.0, ""),
        (10.001, "row 1 would be INVALID in service: the model gave 10.001 for score, outside its range [-10, 10]"),
        (np.nan, "row 1 would be INVALID in service: the model gave NaN for score"),
        (-np.inf, "row 1 would be INVALID in service: the model gave infinity for score"),
    ],
)
def test_an_answer_that_would_not_be_shown_is_found(rows_of: Recording, score: float, problem: str) -> None:
    rows = rows_of(row(1, 1, 1), row(2, 2, 2))
    assert rows.not_shown(rows.judge(), scores(1, score)) == problem


@pytest.mark.slow
def test_where_the_service_would_ask_for_nothing_that_is_said(rows_of: Recording) -> None:
    rows = rows_of(row(11, 1, 1), row(12, 1, 1))
    judged = rows.judge()
    said = "a service would not ask the model for any of these rows: row 0: turns is 11, outside its range [-10, 10]"
    assert rows.not_shown(judged, scores(1, 1)) == said
    assert rows.differently_served(judged, scores(1, 1), Mean()) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (0.9e-4, ""),
        (1.1e-4, "score of row 0 is 1 as scored and 1.00011 as served, 0.0001 allowed"),
        (8.5, "row 1 would be INVALID in service: the model gave 10.5 for score, outside its range [-10, 10]"),
    ],
)
def test_what_is_served_is_what_was_scored(rows_of: Recording, more: float, problem: str) -> None:
    rows = rows_of(row(1, 1, 1), row(2, 2, 2), score_tolerance=1e-4)
    judged = rows.judge()
    assert rows.differently_served(judged, scores(1, 2), Mean(more), devices=2) == problem


@pytest.mark.slow
def test_a_model_that_does_not_answer_is_said_with_the_row(rows_of: Recording) -> None:
    rows = rows_of(row(1, 1, 1), row(7, 7, 7))
    said = rows.differently_served(rows.judge(), scores(1, 7), Mean())
    assert said == "asked for row 1, the model raised ValueError: seven"
    said = rows.differently_served(rows.judge(), scores(1, 7), Mean(), devices=2)
    assert said == "row 1 would be INVALID in service: the model raised ValueError: seven"


@pytest.mark.slow
def test_a_model_that_raises_for_as_many_rows_as_there_are_devices_is_said_though_parts_have_answers(
    rows_of: Recording,
) -> None:
    """In service each cycle would cost the questions of the parts, and nobody would be told."""
    rows = rows_of(*(row(n, n, n) for n in range(4)))
    said = rows.differently_served(rows.judge(), scores(0, 1, 2, 3), Mean(most=2), devices=4)
    assert said == (
        "asked for 4 rows at once, from row 0 on, the model raised ValueError: 4 rows; asked for fewer at a time, it"
        " answers"
    )
    assert rows.differently_served(rows.judge(), scores(0, 1, 2, 3), Mean(most=2), devices=2) == ""


@pytest.mark.slow
def test_rows_are_asked_in_batches_of_the_devices_from_the_whole_table(
    rows_of: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "MOST_BATCHES", 3)
    monkeypatch.setattr(recorded, "FEWEST_BATCHES", 1)
    rows, model = rows_of(*(row(n % 7, 1, 1) for n in range(2500))), Mean()
    judged = rows.judge()
    expected = np.array([(n % 7 + 2) / 3 for n in range(2500)])
    assert rows.differently_served(judged, {"score": expected}, model, devices=4) == ""
    assert model.rows == (4, 4, 4)
    expected[-1] += 1
    assert "score of row 2499" in rows.differently_served(judged, {"score": expected}, model, devices=4)
    monkeypatch.setattr(recorded, "SECONDS", 0.0)
    assert rows.differently_served(judged, {"score": expected}, Mean(), devices=4) == ""  # only the fewest batches


@pytest.mark.slow
def test_images_integers_and_constants_are_asked_as_numbers(rows_of: Recording) -> None:
    image = {**TURNS, "shape": [2, 2]}
    mode = {"name": "mode", "pv": "MODE", "unit": "1", "range": [0, 3]}
    gain = {"name": "gain", "source": "constant", "value": 2.0, "unit": "1", "range": [0, 10]}
    given = [f"[[{n}, 2], [3, 4]], {n}" for n in (1, 2, 4)]
    rows, model = rows_of(*given, inputs=(image, mode, gain), columns="turns, mode"), Mean()
    judged = rows.judge()
    assert (judged.sound.tolist(), judged.refusal) == ([0, 1], "row 2: mode is 4, outside its range [0, 3]")
    assert rows.differently_served(judged, scores(2.5, 2.75, 0), model) == ""


@pytest.mark.slow
def test_what_is_compared_is_what_the_loop_of_the_service_shows(
    rows_of: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(row(1, 1, 1), row(2, 2, 2))
    judged = rows.judge()

    def shows_another(answer: np.ndarray, *others: Any) -> Value:
        return shown(answer + 0.5, *others)

    monkeypatch.setattr("beampermit.live.loop.shown", shows_another)
    said = rows.differently_served(judged, scores(1, 2), Mean(), devices=2)
    assert said == "score of row 0 is 1 as scored and 1.5 as served, 0.01% of 1 allowed"
    monkeypatch.undo()
    monkeypatch.setattr("beampermit.live.loop.Loop._ask", lambda *_: None)
    said = rows.differently_served(judged, scores(1, 2), Mean(), devices=2)
    assert said == "row 0 would be INVALID in service: there was no answer yet"


@pytest.mark.slow
def test_numbers_of_words_come_as_their_words(rows_of: Recording) -> None:
    """As a table has them, and as a source says them."""
    valve = {"name": "valve", "pv": "VALVE", "words": ["OUT", "MOVING", "IN"]}
    rows, model = (
        rows_of(*(f"{row(n, n, n)}, {n}" for n in range(4)), inputs=(TURNS, valve), columns="turns, valve"),
        Mean(),
    )
    judged = rows.judge()
    assert (judged.sound.tolist(), judged.refused) == ([0, 1, 2], 1)
    assert rows.differently_served(judged, scores(0, 1, 2, 0), model, devices=2) == ""
    assert model.rows == (2, 1)


@pytest.mark.slow
def test_text_is_no_number_and_a_missing_column_is_said(rows_of: Recording) -> None:
    assert rows_of("'high'").judge().refusal == "row 0: turns has something else than 3 numbers"
    with pytest.raises(Failed, match="there is no column 'turns'"):
        rows_of("1", columns="other").judge()
