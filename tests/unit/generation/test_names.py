"""Columns as people call them become names that the contract takes, and keep their units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beampermit.contract.signals import Signal
from beampermit.generation.names import Names, is_unit, split_unit


@pytest.mark.parametrize(
    ("column", "name", "unit"),
    [
        ("x [mm]", "x", "mm"),
        ("x (mm)", "x", "mm"),
        ("gradient [T/m]", "gradient", "T/m"),
        ("k (1/m^2)", "k", "1/m^2"),
        ("rate [pulses per s]", "rate", "pulses per s"),
        ("x[0]", "x[0]", None),
        ("T (inner)", "T (inner)", None),
        ("x", "x", None),
        ("[mm]", "[mm]", None),
    ],
)
def test_a_unit_in_brackets_is_one_and_an_index_or_a_remark_is_none(column: str, name: str, unit: str | None) -> None:
    assert split_unit(column) == (name, unit)


def test_units_are_those_of_physics() -> None:
    assert all(map(is_unit, ("mm", "µm", "GeV", "m s^-1", "nA", "%")))
    assert not any(map(is_unit, ("inner", "", "1", "old value")))


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("std_ts_ac1", "std_ts_ac1"),
        ("Beam Current", "beam-current"),
        ("BPM:01:X", "bpm-01-x"),
        ("β_x", "beta_x"),
        ("Größe", "grosse"),
        ("電流", "column-7"),
        ("", "column-7"),
        ("2theta", "column-2theta"),
        ("class", "class"),
        ("null", "null"),
        ("__a--b__", "a-b"),
    ],
)
def test_a_name_is_changed_as_little_as_the_contract_asks(column: str, name: str) -> None:
    assert Names().take(column, "column-7") == name


def test_a_name_is_given_once_whatever_its_case_and_its_hyphens_are() -> None:
    names = Names(["row"])
    assert [names.take(text, "column-1") for text in ("a b", "A_b", "a-b", "row")] == ["a-b", "a_b-2", "a-b-3", "row-2"]


@pytest.mark.slow
@given(st.lists(st.text(), max_size=6))
def test_whatever_columns_are_called_their_names_are_valid_and_differ(columns: list[str]) -> None:
    names = Names()
    given_names = [names.take(column, f"column-{place}") for place, column in enumerate(columns, 1)]
    assert len(set(given_names)) == len(columns)
    for name in given_names:
        Signal(name=name, source="derived", unit="1", range=(0, 1))


def test_long_names_are_cut_and_stay_different() -> None:
    names = Names()
    first, second = (names.take("a" * 90 + end, "column-1") for end in "xy")
    assert (len(first), len(second)) == (64, 64)
    assert first != second
