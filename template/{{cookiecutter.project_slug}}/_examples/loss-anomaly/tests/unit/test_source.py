"""Example: replace with yours. The table that the request stage gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

from {{ cookiecutter.package_name }}.source import acquire

FEW = {"fills": 4, "rows": 50, "test_fills": 1, "share": 0.3, "seed": 4}
ROOT = Path(__file__).parents[2]
CONTRACT = yaml.safe_load((ROOT / "contract.yaml").read_text(encoding="utf-8"))


def test_the_same_options_give_the_same_table(table: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(acquire("simulator", FEW), table)


def test_losses_are_provoked_in_the_last_fills_only(table: pd.DataFrame) -> None:
    counts = table.groupby("fill")["provoked"].sum()
    assert counts.iloc[:-1].tolist() == [0, 0, 0]
    assert 5 < counts.iloc[-1] < 25
    np.testing.assert_array_equal(table["provoked"] == 1, table["anomaly"] != "none")


def test_rows_have_what_the_contract_names_within_its_ranges(table: pd.DataFrame) -> None:
    dataset, (signal,) = CONTRACT["dataset"], CONTRACT["signals"]["inputs"]
    assert {*dataset["key"], *dataset["split"]["by"], dataset["split"]["time"], "origin"} <= set(table.columns)
    assert not table.duplicated(dataset["key"]).any()
    readings = np.stack(table[signal["name"]].to_list())
    assert list(readings.shape[1:]) == signal["shape"]
    assert ((readings >= signal["range"][0]) & (readings <= signal["range"][1])).all()
    for column in dataset["columns"]:
        assert set(table[column["name"]].astype(str)) <= set(column["values"])


def test_the_fills_with_provoked_losses_are_those_of_the_test_split() -> None:
    options = CONTRACT["dataset"]["request"]["options"]
    split = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["split"]
    assert options["test_fills"] == round((1 - split["train"] - split["validation"]) * options["fills"])


@pytest.mark.parametrize("wrong", [{"fills": 1}, {"test_fills": 4}, {"share": 1.5}, {"fill": 3}])
def test_a_wrong_option_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        acquire("simulator", {**FEW, **wrong})


def test_a_source_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="source: 'archive' is not simulator"):
        acquire("archive", FEW)
