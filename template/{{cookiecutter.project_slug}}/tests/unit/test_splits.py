from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }}.pipeline import splits
from {{ cookiecutter.package_name }}.pipeline.contract import Shares

SHARES = Shares(seed=1, of={"train": 0.5, "validation": 0.2})
RUNS, DEVICES = 10, 10


@pytest.fixture
def rows() -> pd.DataFrame:
    """Each of 10 runs reads 10 devices, at one time."""
    run, device = (axis.ravel() for axis in np.meshgrid(range(RUNS), range(DEVICES), indexing="ij"))
    at = pd.Timestamp("2027-01-01", tz="UTC") + pd.to_timedelta(run, unit="min")
    return pd.DataFrame({"run": run, "device": device, "at": at, "origin": "simulator"})


def test_no_group_or_time_is_in_two_splits(rows: pd.DataFrame) -> None:
    found = splits.divide(rows, ["run", "device"], "at", SHARES)
    assert all(len(part) for part in found.values())
    for one, other in itertools.combinations(found.values(), 2):
        assert not set(one["run"]) & set(other["run"])
        assert not set(one["device"]) & set(other["device"])
        assert one["at"].max() < other["at"].min()


def test_groups_that_overlap_in_time_are_cut_in_time_as_well(rows: pd.DataFrame) -> None:
    found = splits.divide(rows, ["device"], "at", SHARES)
    assert found["train"]["at"].max() < found["validation"]["at"].min() <= found["test"]["at"].min()
    assert not set(found["train"]["device"]) & set(found["test"]["device"])


def test_without_time_groups_are_divided_by_chance_and_no_row_is_lost(rows: pd.DataFrame) -> None:
    found = splits.divide(rows, ["device"], None, SHARES)
    assert sum(map(len, found.values())) == len(rows)
    assert sorted(found["train"]["device"].unique()) != [0, 1, 2, 3, 4]


def test_what_follows_from_another_column_loses_no_rows(rows: pd.DataFrame) -> None:
    sites = rows.assign(site=rows["device"] // 2)
    found = splits.divide(sites, ["site", "device"], None, SHARES)
    assert sum(map(len, found.values())) == len(rows)
    assert not set(found["train"]["device"]) & set(found["test"]["device"])


def test_rows_that_are_not_simulated_are_the_test_split_if_others_are(rows: pd.DataFrame) -> None:
    recorded = rows.assign(origin="files", run=rows["run"] + RUNS)
    found = splits.divide(pd.concat([rows, recorded], ignore_index=True), ["run", "device"], "at", SHARES)
    assert set(found["test"]["origin"]) == {"files"}
    assert len(found["test"]) == len(recorded)
    assert set(found["train"]["origin"]) == set(found["validation"]["origin"]) == {"simulator"}
