from __future__ import annotations

import itertools

import pandas as pd
import pytest

from {{ cookiecutter.package_name }} import dataset, settings

SHARES = settings.Split(train=0.5, validation=0.2, seed=1)


def test_no_acquisition_device_or_time_is_in_two_splits(table: pd.DataFrame) -> None:
    splits = dataset.divide(table, SHARES)
    for one, other in itertools.combinations(splits.values(), 2):
        assert not set(one["acquisition"]) & set(other["acquisition"])
        assert not set(one["device"]) & set(other["device"])
        assert one["acquired_at"].max() < other["acquired_at"].min()


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_no_split_is_empty(name: str, table: pd.DataFrame) -> None:
    assert len(dataset.divide(table, SHARES)[name]) > 0


def test_recorded_acquisitions_are_the_test_split(table: pd.DataFrame) -> None:
    recorded = table.assign(origin="files", acquisition="R" + table["acquisition"])
    splits = dataset.divide(pd.concat([table, recorded], ignore_index=True), SHARES)
    assert set(splits["test"]["origin"]) == {"files"}
    assert len(splits["test"]) == len(recorded)
    assert set(splits["train"]["origin"]) == set(splits["validation"]["origin"]) == {"simulator"}
