"""The structures of PVA as samples, without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from p4p import Type, Value
from p4p.nt import NTEnum, NTNDArray, NTScalar, NTTable

from beampermit.errors import BadInput
from beampermit.live.epics.addresses import Address, parse_address
from beampermit.live.epics.sample import Choice, Table, Unreadable, column_of, reading_of, word_of
from beampermit.live.epics.values import pva_sample

AT = 1_800_000_000.25


def scalar(code: str, value: Any, **more: Any) -> Value:
    return NTScalar(code).wrap(value, timestamp=AT, **more)


def image(pixels: np.ndarray, **attributes: Any) -> Value:
    made = NTNDArray().wrap(pixels, timestamp=AT)
    for name, value in attributes.items():
        made[name] = value
    return made


def test_a_number_has_its_time_and_no_message() -> None:
    assert pva_sample(scalar("d", 1.5)) == (1.5, AT, 0, "")


@pytest.mark.parametrize(
    ("code", "given", "value"),
    [("?", True, True), ("b", -3, -3), ("L", 2**63, 2**63), ("l", -(2**60), -(2**60)), ("f", 0.5, 0.5)],
)
def test_every_kind_of_number_is_one(code: str, given: Any, value: Any) -> None:
    assert pva_sample(scalar(code, given)).value == value


def test_an_enum_is_its_index_or_its_label() -> None:
    value = pva_sample(NTEnum().wrap({"index": 2, "choices": ["off", "low", "on"]}, timestamp=AT)).value
    assert value == Choice(2, "on")
    assert (reading_of(value, ""), word_of(value)) == (2, "on")


@pytest.mark.parametrize("index", [-1, 3])
def test_a_state_without_a_label_is_no_word(index: int) -> None:
    value = pva_sample(NTEnum().wrap({"index": index, "choices": ["off", "low", "on"]}, timestamp=AT)).value
    assert word_of(value) == Unreadable(f"state {index}, which has no label")
    assert reading_of(value, "") == index


def test_a_table_with_a_column_named_index_is_a_table() -> None:
    table = NTTable(columns=[("index", "i"), ("x", "d")])
    rows = [{"index": row, "x": row / 2} for row in range(3)]
    value = pva_sample(table.wrap(rows, timestamp=AT)).value
    assert isinstance(value, Table)
    assert np.array_equal(column_of(value, "x"), [0.0, 0.5, 1.0])
    assert np.array_equal(column_of(value, "index"), [0, 1, 2])
    assert isinstance(column_of(value, ""), Unreadable)


def test_a_table_of_an_index_and_choices_is_no_enum() -> None:
    table = NTTable(columns=[("index", "i"), ("choices", "s")])
    assert isinstance(pva_sample(table.wrap([{"index": 1, "choices": "on"}], timestamp=AT)).value, Table)


def test_the_severity_brings_its_message() -> None:
    alarmed = scalar("d", 1.0, severity=2, message="HIHI")
    assert pva_sample(alarmed) == (1.0, AT, 2, "HIHI")
    alarmed["alarm.severity"] = 0
    assert pva_sample(alarmed).message == ""


@pytest.mark.parametrize("severity", [4, -1, 17])
def test_a_severity_that_epics_does_not_have_is_invalid(severity: int) -> None:
    assert pva_sample(scalar("d", 1.0, severity=severity)).severity == 3


@pytest.mark.parametrize("at", [0.0, 631_152_000.0])
def test_what_was_never_processed_is_invalid_and_has_no_time(at: float) -> None:
    sample = pva_sample(NTScalar("d").wrap(1.0, timestamp=at))
    assert (sample.severity, np.isnan(sample.at)) == (3, True)
    assert sample.message == "it was never processed, or its source sets no time"


def test_a_structure_without_time_and_alarm_is_invalid() -> None:
    bare = Value(Type([("value", "d")]), {"value": 1.0})
    assert pva_sample(bare).severity == 3


def test_a_structure_without_a_value_says_what_it_is() -> None:
    other = Value(Type([("speed", "d")], id="lab:odd:1.0"), {"speed": 1.0})
    assert pva_sample(other).value == Unreadable("a structure without a value (lab:odd:1.0)")


def test_text_is_shown_in_short_and_without_control_characters() -> None:
    red, long = (pva_sample(scalar("s", value)).value for value in ("\x1b[31mred", "x" * 50))
    assert reading_of(red, "") == Unreadable(r"text '\x1b[31mred' instead of a number")
    assert reading_of(long, "") == Unreadable(f"text '{'x' * 20}...' instead of a number")
    assert word_of(red) == "\x1b[31mred"
    assert pva_sample(scalar("as", ["on", "off"])).value == Unreadable("text 'on' instead of a number")


def test_arrays_stay_as_they_are_and_may_be_empty() -> None:
    assert np.array_equal(pva_sample(scalar("ah", np.array([1, -2], "i2"))).value, [1, -2])
    assert np.size(pva_sample(scalar("ad", [])).value) == 0
    assert np.size(pva_sample(scalar("as", [])).value) == 0


def test_a_table_is_read_by_the_name_of_a_column() -> None:
    table = NTTable([("name", "s"), ("x", "d")])
    value = pva_sample(table.wrap([{"name": "B1", "x": 1.0}, {"name": "B2", "x": 2.0}], timestamp=AT)).value
    assert isinstance(value, Table)
    assert np.array_equal(column_of(value, "x"), [1.0, 2.0])
    assert column_of(value, "y") == Unreadable("no column y, but name, x")
    assert column_of(value, "name") == Unreadable("text in column name instead of numbers")
    assert column_of(value, "") == Unreadable("a table instead of numbers: write NAME#COLUMN for one of name, x")
    assert column_of(1.0, "x") == Unreadable("no column x: it is no table")


def test_pixels_are_rows_of_the_picture() -> None:
    pixels = np.arange(6, dtype=np.uint16).reshape(2, 3)  # height 2, width 3
    sent = image(pixels)
    assert [dimension["size"] for dimension in sent["dimension"]] == [3, 2]  # areaDetector names x first
    assert np.array_equal(pva_sample(sent).value, pixels)


def test_bayer_is_read_as_the_sensor_has_it() -> None:
    pixels = np.ones((2, 2), np.uint8)
    assert np.array_equal(pva_sample(image(pixels, attribute=[{"name": "ColorMode", "value": 1}])).value, pixels)


def test_an_image_before_the_first_has_no_values() -> None:
    assert np.size(pva_sample(Value(NTNDArray().type, {"timeStamp.secondsPastEpoch": int(AT)})).value) == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"codec.name": "lz4"}, "an image compressed with lz4, which is not read"),
        ({"attribute": [{"name": "ColorMode", "value": 2}]}, "a colour image (RGB1), which is not read"),
        ({"attribute": [{"name": "ColorMode", "value": 99}]}, "a colour image (99), which is not read"),
        ({"dimension": [{"size": 3}, {"size": 3}]}, "an image of 3 x 3 with 6 values"),
    ],
    ids=["compressed", "colour", "unknown", "size"],
)
def test_an_image_that_is_not_read_says_why(changed: dict[str, Any], words: str) -> None:
    assert pva_sample(image(np.zeros((2, 3), np.uint8), **changed)).value == Unreadable(words)


def test_a_name_says_protocol_and_column() -> None:
    assert parse_address("RING:CURRENT") == Address("RING:CURRENT", ("pva", "ca"))
    assert parse_address("ca://RING:CURRENT.RVAL") == Address("RING:CURRENT.RVAL", ("ca",))
    assert parse_address("pva://B1:TBT#x") == Address("B1:TBT", ("pva",), "x")
    assert len(parse_address("x" * 1000).name) == 1000
    assert parse_address("B1:TBT#x") == Address("B1:TBT", ("pva",), "x")


@pytest.mark.parametrize(
    ("pv", "message"),
    [
        ("tango://a/b", "'tango://a/b' has protocol tango; EPICS has pva and ca"),
        ("ca://T#x", "'ca://T#x' is a column of a table, which only pva has"),
        ("A B", "'A B' is no name of a PV"),
        ("A#", "'A#' is no name of a PV"),
        ("pva://", "'pva://' is no name of a PV"),
        ("x" * 1001, "'xxxxxxxxxxxxxxxxxxxx'... is a name of more than 1000 bytes"),
    ],
)
def test_a_name_that_is_none_is_refused(pv: str, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_address(pv)
    assert refused.value.message == message
