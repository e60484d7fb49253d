"""Recorded rows are judged as in service: what it would not ask for is left out, what it would not show is found."""

from __future__ import annotations

import time
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
from beampermit.live.replay.moments import Moment
from beampermit.live.sharing import Raised
from beampermit.live.update import Value
from support.planted_processes import SIGNALS, asked_contract

Recording = Callable[..., RecordedRows]
(TURNS,) = SIGNALS["inputs"]
(SCORE,) = SIGNALS["outputs"]


@pytest.fixture
def rows_of(tmp_path: Path, contract_text: str) -> Recording:
    """Recorded rows of turns, as SQL; `inputs` are those of the contract."""

    def made(
        *turns: str, inputs: Any = (TURNS,), columns: str = "turns", serving: Any = (), **output: Any
    ) -> RecordedRows:
        file = tmp_path / "rows.parquet"
        with duckdb.connect() as connection:
            values = ", ".join(f"({row})" for row in turns)
            connection.execute(f"COPY (SELECT * FROM (VALUES {values}) t({columns})) TO '{file}'")
        signals = {"inputs": [*inputs], "outputs": [{**SCORE, **output}]}
        return RecordedRows(contract(signals, {"timeout": 30, **dict(serving)}), file)

    def contract(signals: Any, serving: Any) -> Contract:
        return asked_contract(contract_text, signals=signals, serving=serving)

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
    seconds: tuple[float, ...] = ()
    """Of its first answers."""

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        turns = inputs["turns"]
        assert turns.dtype == np.float64
        assert "file_row_number" not in inputs
        time.sleep(dict(enumerate(self.seconds)).get(len(self.rows), 0.0))
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
def test_a_model_for_whose_answers_a_service_would_not_wait_is_said(rows_of: Recording) -> None:
    """One late answer is a busy machine; that it is always late is the model."""
    rows = rows_of(*(row(n, n, n) for n in range(5)), serving={"timeout": 0.1})
    judged, expected = rows.judge(), scores(0, 1, 2, 3, 4)
    slow = (0.11,) * 9
    said = rows.differently_served(judged, expected, Mean(seconds=slow), devices=2)
    assert said.startswith("asked for 2 rows at once, the model takes 0.1")
    assert said.endswith(" s, and serving.timeout allows 0.1 s")
    once = Mean(seconds=(0.11, 0.11, 0.11))
    assert rows.differently_served(judged, expected, once, devices=2) == ""
    assert once.rows == (2, 2, 1, 2)


@pytest.mark.slow
def test_a_table_with_fewer_rows_than_devices_shows_what_as_many_would_cost(rows_of: Recording) -> None:
    rows = rows_of(row(1, 1, 1), row(2, 2, 2), serving={"timeout": 0.1})
    judged, expected = rows.judge(), scores(1, 2)
    sound = Mean()
    assert rows.differently_served(judged, expected, sound, devices=5) == ""
    assert sound.rows == (2, 5)
    said = rows.differently_served(judged, expected, Mean(seconds=(0.0, *(0.11,) * 9)), devices=5)
    assert said.startswith("asked for 5 rows at once, the model takes 0.1")
    said = rows.differently_served(judged, expected, Mean(most=2), devices=5)
    assert said == "asked for 5 rows at once, the model raised ValueError: 5 rows"


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


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of each moment of a replay, by which samples arrive, is a minute behind; nothing else reads it."""
    monkeypatch.setattr(Moment, "clock", lambda moment: moment.at - 60)


@pytest.mark.slow
@pytest.mark.parametrize("model", [Mean(), None], ids=["a model", "its scores"])
def test_rows_come_as_the_samples_of_a_replay(rows_of: Recording, late: None, model: Mean | None) -> None:
    """Whatever a replay does to its samples is seen: here they are old when they arrive."""
    rows = rows_of(row(1, 1, 1), row(2, 2, 2), inputs=({**TURNS, "stale_after": 59},))
    said = rows.differently_served(rows.judge(), scores(1, 2), model, devices=2)
    assert said == "row 0 would be INVALID in service: turns is older than 59 s"
    rows = rows_of(row(1, 1, 1), row(2, 2, 2), inputs=({**TURNS, "stale_after": 61},))
    assert rows.differently_served(rows.judge(), scores(1, 2), model, devices=2) == ""


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "serving", [{}, {"period": 0.5}, {"snapshot": "SHOT"}, {"event": "turns", "at_most": 1, "within": 1e-6}], ids=str
)
def test_whatever_makes_rows_in_service_each_is_asked_for_and_none_is_old(
    rows_of: Recording, serving: dict[str, Any], devices: int
) -> None:
    """Rows that are the same are asked for again: nothing says that they were not measured again."""
    rows = rows_of(*["[2.0, 2.0, 2.0]"] * 4, row(3, 3, 3), serving=serving, inputs=({**TURNS, "stale_after": 1e-6},))
    judged, model = rows.judge(), Mean()
    for answers in (model, None):
        assert rows.differently_served(judged, scores(2, 2, 2, 2, 3), answers, devices) == ""
    assert sum(model.rows) >= 5
    said = rows.differently_served(judged, scores(2, 2, 2, 2, 4), Mean(), devices)
    assert said == "score of row 4 is 4 as scored and 3 as served, 0.01% of 2 allowed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({"score": np.array([1.0, 2.0])}, ""),
        ({"score": np.array([1.0, 11.0])}, "the model gave 11 for score, outside its range [-10, 10]"),
        ({"score": np.array([[1.0], [2.0]])}, "the model gave score in shape (1, 1) instead of (1,)"),
        ({"other": np.array([1.0, 2.0])}, "the model gave no score"),
    ],
)
def test_without_a_model_its_scores_are_answers_that_the_loop_judges(
    rows_of: Recording, answers: dict[str, np.ndarray], problem: str
) -> None:
    rows = rows_of(row(1, 1, 1), row(2, 2, 2))
    number = 1 if "11" in problem else 0
    said = f"row {number} would be INVALID in service: {problem}" if problem else ""
    assert rows.differently_served(rows.judge(), answers) == said


@pytest.mark.slow
def test_without_a_model_each_row_has_its_own_score(rows_of: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(*(row(1, 1, 11 if n in (0, 3) else 1) for n in range(9)), shape=[2])
    judged, own = rows.judge(), {"score": np.arange(18.0).reshape(9, 2) / 2}
    assert judged.sound.tolist() == [1, 2, 4, 5, 6, 7, 8]
    for devices in (1, 3):
        assert rows.differently_served(judged, own, devices=devices) == ""
    monkeypatch.setattr("beampermit.live.loop.shown", lambda answer, *others: shown(answer[::-1], *others))
    said = "score[0] of row 1 is 1 as scored and 1.5 as served, 0.01% of 8.5 allowed"
    assert rows.differently_served(judged, own, devices=3) == said


@pytest.mark.slow
def test_images_integers_constants_and_what_is_derived_are_asked_as_numbers(rows_of: Recording) -> None:
    image = {**TURNS, "shape": [2, 2]}
    mode = {"name": "mode", "pv": "MODE", "unit": "1", "range": [0, 3]}
    gain = {"name": "gain", "source": "constant", "value": 2.0, "unit": "1", "range": [0, 10]}
    total = {"name": "total", "source": "derived", "unit": "1", "range": [0, 100]}
    given = [f"[[{n}, 2], [3, 4]], {n}, {n + 9}" for n in (1, 2, 4)]
    rows, model = rows_of(*given, inputs=(image, mode, gain, total), columns="turns, mode, total"), Mean()
    judged = rows.judge()
    assert (judged.sound.tolist(), judged.refusal) == ([0, 1], "row 2: mode is 4, outside its range [0, 3]")
    for answers in (model, None):
        assert rows.differently_served(judged, scores(2.5, 2.75, 0), answers) == ""


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
        rows_of(*(f"{row(n, n, n)}, {n}" for n in (0, 1, 2, 3, 0.5)), inputs=(TURNS, valve), columns="turns, valve"),
        Mean(),
    )
    judged = rows.judge()
    assert (judged.sound.tolist(), judged.refused) == ([0, 1, 2], 2)
    for answers in (model, None):
        assert rows.differently_served(judged, scores(0, 1, 2, 0, 0), answers, devices=2) == ""
    assert model.rows == (2, 1)
    halves = rows_of(f"{row(0, 0, 0)}, 0.5", inputs=(TURNS, valve), columns="turns, valve")
    assert halves.judge().refusal == "row 0: valve has something else than the number of a word"


@pytest.mark.slow
def test_text_is_no_number_and_a_missing_column_is_said(rows_of: Recording) -> None:
    assert rows_of("'high'").judge().refusal == "row 0: turns has something else than 3 numbers"
    with pytest.raises(Failed, match="there is no column 'turns'"):
        rows_of("1", columns="other").judge()
