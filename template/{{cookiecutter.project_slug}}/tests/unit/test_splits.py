from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.package_name }}.pipeline import splits
from {{ cookiecutter.package_name }}.pipeline.contract import ForSplits, Shares

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


def test_rows_that_lack_a_group_are_in_no_split(rows: pd.DataFrame) -> None:
    gaps = rows.assign(shift=(rows["run"] // 2).map("s{}".format).where(rows["device"] > 0))
    for by in (["shift"], ["run", "shift"], ["shift", "device"]):
        found = pd.concat(splits.divide(gaps, by, None, SHARES).values())
        assert len(found)
        assert found["shift"].notna().all()


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


def part(**dataset: str) -> ForSplits:
    """What stage `dataset` takes of a small contract."""
    signals = {
        "inputs": [{"name": "device"}, {"name": "charge", "value": 0.5}],
        "outputs": [{"name": "answer", "target": "faulty"}],
    }
    rule = {"raw": "raw.parquet", "splits": {}, "key": ["run"], "split": {"by": ["run"]}}
    return ForSplits.model_validate({"dataset": {**rule, **dataset}, "metrics": [], "signals": signals})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"faulty": []}, "split train has no rows"),
        ({"faulty": [1, 1]}, "faulty has one value in all 2 rows"),
        ({"faulty": [1, None]}, "faulty is missing in 1 of 2 rows"),
    ],
)
def test_a_split_that_teaches_nothing_is_one_line(rows: dict[str, list[float]], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        splits.require_learnable(pd.DataFrame(rows), "train", part(target="faulty"))


def test_a_truth_that_is_not_learned_must_differ_in_the_test_split_only(capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.DataFrame({"faulty": [0, 0]})
    splits.require_learnable(rows, "train", part())
    assert capsys.readouterr().err == "split train: faulty has one value in all 2 rows, so no model can learn it\n"
    with pytest.raises(SystemExit, match="split test: faulty has one value in all 2 rows"):
        splits.require_learnable(rows, "test", part())


def test_labels_and_constants_are_joined_and_what_nobody_named_is_left_out(tmp_path: Path) -> None:
    pd.DataFrame({"run": [1, 2], "device": [3.0, 4.0], "more": 0}).to_parquet(tmp_path / "raw.parquet")
    pd.DataFrame({"run": [2, 1], "faulty": [True, False], "why": "seen"}).to_parquet(tmp_path / "labels.parquet")
    found = splits.prepare(part(raw=str(tmp_path / "raw.parquet"), labels=str(tmp_path / "labels.parquet")))
    assert found.to_dict("list") == {
        **{"run": [1, 2], "device": [3.0, 4.0]},
        **{"charge": [0.5, 0.5], "faulty": [False, True]},
    }


def test_a_target_that_nothing_gives_is_one_line(tmp_path: Path) -> None:
    pd.DataFrame({"run": [1], "device": [3.0]}).to_parquet(tmp_path / "raw.parquet")
    with pytest.raises(SystemExit, match="there is no column 'faulty', which"):
        splits.prepare(part(raw=str(tmp_path / "raw.parquet")))
