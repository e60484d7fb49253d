"""Example: replace with yours. The table that the request stage gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from {{ cookiecutter.package_name }}.simulator import RANGES
from {{ cookiecutter.package_name }}.source import acquire

FEW = {"runs": 3, "shots": 40, "seed": 4}
CONTRACT = yaml.safe_load((Path(__file__).parents[2] / "contract.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return acquire("simulator", FEW)


def test_the_same_options_give_the_same_table(table: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(acquire("simulator", FEW), table)
    assert not acquire("simulator", {**FEW, "seed": 5})["charge"].equals(table["charge"])


def test_more_runs_leave_those_before_them_as_they_are(table: pd.DataFrame) -> None:
    more = acquire("simulator", {**FEW, "runs": 4})
    pd.testing.assert_frame_equal(more.head(len(table)), table)


def test_rows_have_what_the_contract_names_within_its_ranges(table: pd.DataFrame) -> None:
    dataset, signals = CONTRACT["dataset"], CONTRACT["signals"]
    assert {*dataset["key"], *dataset["split"]["by"], dataset["split"]["time"], "origin"} <= set(table.columns)
    assert not table.duplicated(dataset["key"]).any()
    for signal in [*signals["inputs"], *signals["outputs"]]:
        low, high = signal["range"]
        assert table[signal.get("target", signal["name"])].between(low, high).all()
    for column in dataset["columns"]:
        assert set(table[column["name"]]) == set(column["values"])


def test_the_expected_ranges_of_the_contract_are_those_that_are_drawn() -> None:
    assert {signal["name"]: tuple(signal["expected"]) for signal in CONTRACT["signals"]["inputs"]} == RANGES


def test_noise_is_as_large_as_asked_for() -> None:
    options = {"runs": 2, "shots": 1000, "seed": 0}
    clean, noisy = acquire("simulator", {**options, "noise": 0}), acquire("simulator", {**options, "noise": 0.05})
    ratio = np.log(noisy["beam_size"] / clean["beam_size"])
    assert ratio.std() == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"noise": -0.1}, {"shot": 40}, {"seed": None}])
def test_a_wrong_option_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        acquire("simulator", {**FEW, **wrong})


def test_a_source_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="source: 'archive' is not simulator"):
        acquire("archive", FEW)
