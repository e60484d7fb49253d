"""A request numbers words as the service does, and takes no number for a word that nobody named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from beampermit.contract.words import number_of, unit_of, word_of
from beampermit.datasets.requests import word_columns
from beampermit.datasets.requests.request import RequestResult, request
from beampermit.datasets.requests.store import Store
from beampermit.datasets.tables import open_tables
from beampermit.errors import BadInput, Failed
from beampermit.project import Project
from support.archiver import Archiver, sample
from support.data_requests import AT, Ask, rows

WORDS = ["OUT", "MOVING", "IN"]
VALVE: dict[str, Any] = {"name": "valve", "pv": "VALVE", "words": WORDS}
ODD = (
    "OUT",
    "out",
    "OUT ",
    " IN",
    "",
    "in\x00",
    "2",
    "I'N",
    'a "word"',
    "\u00b5",
    "\u03bc",
    "MOVING\n",
    "MOVINGMOVING",
)


def test_sql_and_python_give_the_same_numbers() -> None:
    words = (*WORDS, "I'N", 'a "word"', "\u00b5")
    mapped, found = word_columns.numbers("x", words), word_columns.known("x", words)
    labelled = word_columns.labels("x", WORDS)
    with duckdb.connect() as connection:
        for text in (*ODD, *words):
            told = connection.execute(f"SELECT {mapped}, {found} FROM (SELECT ? AS x)", [text]).fetchone()
            assert told == (number_of(text, words), number_of(text, words) is not None), text
        for number in (-1, 0, 2, 2.5, 3, 1e300, float("nan"), float("inf")):
            told = connection.execute(f"SELECT {labelled} FROM (SELECT ?::DOUBLE AS x)", [number]).fetchone()
            label = told[0] if told else None
            assert (label if label in WORDS else None) == word_of(number, WORDS), number
    assert word_of(True, WORDS) is None


def valves(project: Project) -> list[Any]:
    return [value for (value,) in rows(project.root, "valve")]


@pytest.mark.slow
def test_an_archived_text_becomes_the_number_of_its_word(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    sound.add("VALVE", [sample(AT, "IN"), sample(AT + 1, "MOVING"), sample(AT + 2, "JAMMED"), sample(AT + 3, "OUT")])
    said = ask_archiver(signals=[VALVE], ranges=span(5)).sidecar
    assert valves(project) == [2.0, 1.0, 0.0, 0.0]
    assert said["counts"]["unknown_words"] == 1
    assert [(gap["why"], gap["seconds"]) for gap in said["gaps"]["longest"]] == [("unknown word JAMMED", 1.0)]
    (table,) = open_tables(project.root, {"raw": "data/raw.parquet"})
    assert table.units == {"valve": unit_of(WORDS)} == {"valve": "0 = 'OUT', 1 = 'MOVING', 2 = 'IN'"}


@pytest.mark.slow
def test_an_archived_number_needs_its_label_from_who_asks(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    sound.add("VALVE", [sample(AT, 0), sample(AT + 1, 2), sample(AT + 2, 3)])
    with pytest.raises(Failed, match="the values of VALVE are numbers, and nothing says which words") as caught:
        ask_archiver(signals=[VALVE], ranges=span(3))
    assert "`states` of that signal in dataset.request.signals" in str(caught.value.hint)
    for states, numbers in ((["IN", "OUT", "MOVING"], [2.0, 1.0]), (WORDS, [0.0, 2.0])):
        ask_archiver(signals=[{**VALVE, "states": states}], ranges=span(3), accept=True)
        assert valves(project) == numbers


@pytest.mark.parametrize("value", [[1.0], True, {"a": 1}])
@pytest.mark.slow
def test_what_is_neither_text_nor_number_is_no_word(ask_archiver: Ask, sound: Archiver, value: Any) -> None:
    sound.add("VALVE", [sample(AT, value)])
    with pytest.raises(Failed, match=r"the values of VALVE are .*, not words"):
        ask_archiver(signals=[VALVE], ranges=span(3))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_recording_has_words_or_numbers_with_their_labels(
    asking: Callable[..., Project], project: Project, suffix: str
) -> None:
    record(project, suffix, "['IN', 'MOVING', 'stuck', 'OUT']")
    said = ask_files(asking, suffix).sidecar
    assert (valves(project), said["counts"]["unknown_words"]) == ([2.0, 1.0, 0.0], 1)
    if suffix == "csv":
        return
    (project.root / "data/raw.parquet").rename(project.root / "r.parquet")  # says with which words
    ask_files(asking, suffix)
    assert valves(project) == [2.0, 1.0, 0.0]
    with pytest.raises(Failed, match=r"valve of r.parquet has numbers, and nothing says which words"):
        ask_files(asking, suffix, words=["OUT", "IN", "MOVING"])
    record(project, suffix, "[0, 1, 2, 1]")
    with pytest.raises(Failed, match="has numbers, and nothing says which words"):
        ask_files(asking, suffix)
    ask_files(asking, suffix, accept=True, states=["MOVING", "OUT", "stuck"])
    assert valves(project) == [1.0, 0.0, 0.0]


@pytest.mark.slow
def test_a_source_of_the_laboratory_stores_words_as_texts(tmp_path: Path) -> None:
    store = Store(tmp_path / "samples", {"VALVE": (), "GATE": ("shut", "open")})

    def kept(pv: str, values: Any) -> list[Any]:
        store.keep(pv, (0, 10), [*range(len(values))], values)
        with duckdb.connect() as connection:
            found = connection.execute(f"SELECT value FROM {store.source(pv)} ORDER BY ns").fetchall()
        return [value for (value,) in found]

    assert kept("VALVE", ["IN", None, "OUT"]) == ["IN", None, "OUT"]
    assert kept("VALVE", [None]) == [None]
    assert kept("VALVE", np.array([b"IN"])) == ["IN"]
    assert kept("GATE", [1, 0]) == kept("GATE", ["open", "0"]) == ["open", "shut"]
    assert kept("X", ["1.5", "-2"]) == [1.5, -2.0], "numbers may come as texts"
    for pv, values, said in (
        ("VALVE", [1, 0], "the values of VALVE are numbers, and nothing says which words they stood for"),
        ("VALVE", [True], "the values of VALVE are bool, not words"),
        ("GATE", [[1.0], [0.0]], "the values of GATE are list, not words"),
        ("X", ["IN"], "the values of X are no numbers: could not convert string to float: 'IN'"),
    ):
        with pytest.raises(Failed, match=said):
            kept(pv, values)


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        ({**VALVE, "words": ["OUT", "OUT"]}, "words are several, each once"),
        ({**VALVE, "words": ["OUT"]}, "words are several, each once"),
        ({**VALVE, "shape": [2]}, "has words, which only a scalar has"),
        ({**VALVE, "unit": "1"}, "has words, so unit and range follow from them: leave both out"),
        ({**VALVE, "range": [0, 1]}, "has words, so unit and range follow from them: leave both out"),
        ({"name": "x", "pv": "X", "unit": "mm", "states": ["a"]}, "'x' has states, and no words that they could be"),
    ],
)
def test_words_that_cannot_be_requested(ask_archiver: Ask, sound: Archiver, signal: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        ask_archiver(signals=[signal])


def span(seconds: float) -> list[dict[str, str]]:
    start = "2026-03-01T08:00:00+01:00"
    return [{"start": start, "end": start.replace("00+", f"{seconds:02.0f}+")}]


def record(project: Project, suffix: str, values: str) -> None:
    at = f"make_timestamptz(CAST(({AT} + number) * 1000000 AS BIGINT)) AS acquired_at"
    sql = f"SELECT {at}, ({values})[number + 1] AS valve FROM range(4) r(number)"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({sql}) TO '{project.root}/r.{suffix}' (FORMAT {suffix})")


def ask_files(
    asking: Callable[..., Project], suffix: str, *, accept: bool = True, words: Any = WORDS, states: Any = ()
) -> RequestResult:
    wanted = {
        "source": "files",
        "options": {"paths": [f"r.{suffix}"]},
        "signals": [{"name": "valve", **({"states": list(states)} if states else {})}],
        "ranges": span(4),
        "sampling": {"period": "1s"},
        "gaps": {"max_age": "0.9s"},
    }
    project = asking(wanted, **{"signals.inputs": [{**VALVE, "words": list(words)}]})
    return request(project, lambda *_: None, accept=accept)  # pyright: ignore[reportArgumentType]
