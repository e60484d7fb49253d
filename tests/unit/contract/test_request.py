"""What a contract may ask of the data stream, and what is refused before anything is asked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from beampermit.contract import conditions, parse_contract
from beampermit.contract.request import Request
from beampermit.errors import BadInput

SOUND: dict[str, Any] = {
    "source": "archiver",
    "signals": ["turns", {"name": "beam-current", "pv": "BEAM:CURRENT", "unit": "mA"}],
    "ranges": [{"start": "2026-03-01T08:00:00+01:00", "end": "2026-03-01T08:00:00Z"}],
    "conditions": ["beam_current > 10"],
    "sampling": {"period": "1s"},
    "gaps": {"max_age": "5s"},
}
DAY = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}


def test_a_request_of_before_is_one_still() -> None:
    assert Request.model_validate({"source": "simulator", "version": 1, "options": {"seed": 1}}).signals == ()


def test_times_are_moments_whatever_the_clocks_said() -> None:
    span = Request.model_validate(SOUND).ranges[0]
    assert (span.end - span.start).total_seconds() == 3600


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ranges": [{**DAY, "start": "2026-03-01T00:00:00"}]}, "has no time zone"),
        ({"ranges": [{**DAY, "start": "2026-03-01"}]}, "has no time zone"),
        ({"ranges": [{**DAY, "start": "yesterday"}]}, "is not a time; write it like"),
        ({"ranges": [{**DAY, "start": 1700000000}]}, "a time needs hours and a time zone"),
        ({"ranges": [{"start": DAY["end"], "end": DAY["start"]}]}, "the range is reversed"),
        ({"ranges": [{"start": DAY["end"], "end": DAY["end"]}]}, "the range is empty"),
        # 02:30 in summer time comes before 02:15 in winter time, in the night when clocks are put back.
        ({"ranges": [{"start": "2026-10-25T02:15:00+01:00", "end": "2026-10-25T02:30:00+02:00"}]}, "is reversed"),
        ({"ranges": [DAY, {**DAY, "start": "2026-03-01T23:00:00Z"}]}, "two ranges overlap|is reversed"),
        ({"ranges": []}, "a request with signals needs ranges"),
        ({"gaps": None}, "a request with signals needs gaps"),
        ({"signals": []}, "sampling and gaps need signals"),
        ({"sampling": {}}, "either period or event"),
        ({"sampling": {"period": "1s", "event": "turns"}}, "either period or event"),
        ({"sampling": {"event": "trigger"}}, "'trigger' is not a signal of the request"),
        ({"sampling": {"period": 1e-9}}, "at least a microsecond"),
        ({"conditions": ["beam-current > 10"]}, "names 'beam', which is not a signal .*written _"),
        ({"signals": ["turns", "turns"]}, "called 'turns'"),
        ({"conditions": ["__import__('os')"]}, "neither true nor false"),
    ],
)
def test_what_cannot_be_asked_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Request.model_validate({**SOUND, **changes})


def test_editors_know_that_a_name_is_enough() -> None:
    items = Request.model_json_schema()["properties"]["signals"]["items"]
    assert items == {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/RequestedSignal"}]}


def test_a_naive_time_in_the_file_is_named_with_its_line(contract_text: str) -> None:
    written = """request:
    source: archiver
    signals: [turns]
    ranges:
      - start: 2026-03-01T08:00:00
        end: 2026-03-01T09:00:00+01:00
    sampling: {period: 1s}
    gaps: {max_age: 5s}
"""
    text = re.sub(r"request: \{.*\}\n", written, contract_text)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "start:" in line)
    with pytest.raises(BadInput, match=r"ranges\.0\.start: 2026-03-01T08:00:00 has no time zone") as caught:
        parse_contract(text)
    assert caught.value.line == line
    found = parse_contract(text.replace("T08:00:00\n", "T08:00:00+01:00\n"))
    assert found.dataset.request.ranges[0].start.isoformat() == "2026-03-01T07:00:00+00:00"


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        ("[current]", "'current' is not an input, so it needs a pv and a unit"),
        ("[{name: turns, unit: um}]", "'turns' is an input; its unit is set in signals.inputs"),
    ],
)
def test_a_signal_is_described_once(contract_text: str, signals: str, words: str) -> None:
    span = "{start: 2026-03-01T08:00:00Z, end: 2026-03-01T09:00:00Z}"
    asked = (
        f"{{source: archiver, signals: {signals}, ranges: [{span}], sampling: {{period: 1s}}, gaps: {{max_age: 5s}}}}"
    )
    with pytest.raises(BadInput, match=words):
        parse_contract(re.sub(r"request: \{.*\}\n", f"request: {asked}\n", contract_text))


@pytest.mark.parametrize(
    ("condition", "values", "holds"),
    [
        ("a > 10", {"a": 11}, True),
        ("0 < a <= 3 and b != 4", {"a": 3, "b": 5}, True),
        ("a in [1, 2] or not b == 1", {"a": 3, "b": 1}, False),
        ("a not in (1, 2)", {"a": 3}, True),
        ("abs(a - b) / 2 < 1.5", {"a": -1, "b": 1}, True),
        ("-a > 1", {"a": -2}, True),
        ("a > 1", {"a": None}, None),
        ("a / b > 1", {"a": 1, "b": 0}, None),
        ("a * a > 1", {"a": 1e200}, None),
        ("severity(a) == 2", {"a": 0}, True),
    ],
)
def test_conditions_mean_what_they_say(condition: str, values: dict[str, Any], holds: bool | None) -> None:
    import duckdb

    sql = conditions.sql(condition, lambda name: name, lambda _: "2")
    columns = ", ".join(
        f"CAST({'NULL' if value is None else value} AS DOUBLE) AS {name}" for name, value in values.items()
    )
    assert duckdb.connect().execute(f"SELECT {sql} FROM (SELECT {columns})").fetchone() == (holds,)


@pytest.mark.parametrize(
    "condition",
    [
        "a",
        "a + 1",
        "a > 'x'",
        "a.b > 1",
        "a[0] > 1",
        "(lambda: a)() > 1",
        "open('x') > 1",
        "abs(a, b) > 1",
        "severity(1) > 0",
        "a ** 9 > 1",
        "a is 1",
        "a > True",
        "a > 1e400",
        "a in b",
        "a in []",
        "(a := 3) > 1",
        "[x for x in a] > 1",
        "f'{a}' > 1",
        "a > 1; b",
        "a >",
        "a > \x00",
        "1 if a else 2",
        "",
        "(" * 200 + "a" + ")" * 200,
        "not " * 120 + "a > 1",
        "a > 1 and " * 60 + "a > 1",
    ],
)
def test_everything_else_is_refused_in_words(condition: str) -> None:
    with pytest.raises(ValueError, match=r"condition|neither|nothing|follows|compares|numbers"):
        conditions.sql(condition, lambda name: name, lambda name: name)
