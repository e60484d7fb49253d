"""Rows of the splits: what breaks a promise, or stands in two splits, fails and is named."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from beampermit.datasets.differences import compare_versions, load_version
from beampermit.datasets.profile import ColumnRoles, profile
from beampermit.datasets.pull import way_to_get
from beampermit.datasets.tables import open_tables
from beampermit.errors import Failed
from beampermit.interlocks.data import DAT004, DAT005
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.interlock import Finding, MissingInput
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome
from support.dvc_repositories import halve, replace, without_data

pytestmark = pytest.mark.slow

Alter = Callable[..., None]


def dat004(project: Project) -> Finding:
    return DAT004().check(project, project.contract, project.base_contract)


def dat005(project: Project) -> Finding:
    return DAT005().check(project, project.contract, project.base_contract)


# DAT004

ROWS: dict[str, tuple[str, str]] = {
    "above": (
        "* REPLACE (list_transform(turns, lambda x: x + 32.2) AS turns)",
        "train.parquet: turns reaches 35.2 mm, outside [-20, 20] mm, in 8 of 8 rows"
        " (first: acquisition a01-0, device BPM.1, plane X)",
    ),
    "below": ("* REPLACE (list_transform(turns, lambda x: x - 30) AS turns)", "turns reaches -31 mm, outside"),
    "NaN": ("* REPLACE ([1, 'nan'::FLOAT, 2, 3] AS turns)", "turns is not finite in 8 of 8 rows"),
    "infinite": ("* REPLACE ([1, '-inf'::FLOAT, 2, 3] AS turns)", "turns is not finite in 8 of 8 rows"),
    "null in a list": ("* REPLACE ([1, NULL, 2, 3]::FLOAT[] AS turns)", "turns is null in 8 of 8 rows"),
    "null list": ("* REPLACE (NULL::FLOAT[] AS turns)", "turns is null in 8 of 8 rows"),
    "short": ("* REPLACE (turns[:3] AS turns)", "turns does not have 4 values in 8 of 8 rows"),
    "empty list": ("* REPLACE ([]::FLOAT[] AS turns)", "turns does not have 4 values in 8 of 8 rows"),
    "renamed": ("* RENAME (turns AS turn)", "there is no column 'turns'; is it 'turn'?"),
    "other case": ("* RENAME (turns AS TURNS)", "there is no column 'turns'"),
    "no target": ("* EXCLUDE (faulty)", "there is no column 'faulty'"),
    "text": ("* REPLACE ('x' AS turns)", "turns has type VARCHAR, not lists of 4 numbers"),
    "numbers, not lists": ("* REPLACE (1.5::FLOAT AS turns)", "turns has type FLOAT, not lists of 4 numbers"),
    "null key": ("* REPLACE (NULL::VARCHAR AS device)", "device is null in 8 of 8 rows"),
    "key twice": ("* REPLACE ('a' AS acquisition)", "6 of 8 rows repeat the key of another (first: acquisition a,"),
}


@pytest.mark.plants("DAT004")
@pytest.mark.parametrize("defect", ROWS)
def test_dat004_fails_on_rows_that_break_the_contract(dvc_project: Project, alter: Alter, defect: str) -> None:
    columns, reason = ROWS[defect]
    alter("train", columns)
    finding = dat004(dvc_project)
    assert finding.outcome is Outcome.FAILED
    assert reason in finding.reason
    assert finding.locations[0].file == "data/dataset/train.parquet"


def test_dat004_counts_and_names_the_rows_that_are_out_of_range(dvc_project: Project, alter: Alter) -> None:
    alter("test", "* REPLACE (CASE WHEN plane = 'Y' THEN [99, 0, 0, 0]::FLOAT[] ELSE turns END AS turns)")
    finding = dat004(dvc_project)
    signal = finding.evidence.splits[2].signals["turns"]
    assert (signal["rows_outside"], signal["highest"]) == (4, 99)
    assert signal["first"]["outside"][0] == {"acquisition": "a03-0", "device": "BPM.3", "plane": "Y"}


def test_dat004_fails_on_no_rows(dvc_project: Project, alter: Alter) -> None:
    alter("train", "*", "LIMIT 0")
    assert "train.parquet: has no rows" in dat004(dvc_project).reason


def test_dat004_fails_on_a_truncated_file(dvc_project: Project) -> None:
    halve(dvc_project.root / "data/dataset/train.parquet")
    finding = dat004(dvc_project)
    assert finding.outcome is Outcome.FAILED
    assert "train.parquet: cannot be read" in finding.reason


@pytest.mark.parametrize("unit", ["um", "mm"])
def test_dat004_compares_the_unit_that_the_file_states(dvc_project: Project, alter: Alter, unit: str) -> None:
    alter("train", "*", options=f', KV_METADATA {{units: \'{{"turns": "{unit}"}}\'}}')
    finding = dat004(dvc_project)
    assert (finding.outcome is Outcome.PASSED) == (unit == "mm")
    assert ("turns is in um, the contract says mm" in finding.reason) == (unit == "um")


def test_dat004_judges_by_the_base_branch_and_shows_a_changed_range(dvc_project: Project, alter: Alter) -> None:
    alter("train", "* REPLACE (list_transform(turns, lambda x: x + 32.2) AS turns)")
    replace(dvc_project.root / "contract.yaml", "range: [-20, 20]", "range: [-50, 50]")
    finding = dat004(dvc_project)
    assert "outside [-20, 20] mm" in finding.reason
    assert "this pull request changes signals.inputs.turns.range [-20, 20] -> [-50, 50]" in finding.reason


def test_dat004_is_skipped_where_data_were_not_pulled(dvc_project: Project) -> None:
    without_data(dvc_project)
    with pytest.raises(MissingInput, match=r"data/dataset/train.parquet is missing \(and 2 more\)"):
        dat004(dvc_project)
    assert check(dvc_project, select_interlocks(["DAT004"]))[0].outcome is Outcome.SKIPPED


def test_a_pull_is_named_only_where_it_brings_what_is_missing(dvc_project: Project) -> None:
    contract, right = dvc_project.root / "contract.yaml", "data/dataset/train.parquet"
    nothing = "neither dvc.lock nor a .dvc file has its hash, so a pull cannot bring it: correct the path in {}"
    for path in ("data/trian.parquet", "data/dataset/trian.parquet"):  # beside and below what DVC stores
        replace(contract, right, path)
        with pytest.raises(MissingInput, match=f"{path} is missing") as caught:
            dat004(Project(dvc_project.root, "main"))
        assert caught.value.hint.startswith(nothing.format("contract.yaml"))
        replace(contract, path, right)
    assert way_to_get(dvc_project, "data/old.parquet", "x.json").startswith(nothing.format("x.json"))
    (dvc_project.root / "data/raw.json").unlink()
    assert way_to_get(dvc_project, "data/raw.json") == "git restore data/raw.json", "it is in git"
    without_data(dvc_project)
    for path in (right, "data/dataset", "data", "data/raw.parquet", "data/dataset/not-known-yet.parquet"):
        assert way_to_get(dvc_project, path) == "beampermit data pull", path
    (dvc_project.root / "dvc.lock").write_text("<<<<<<< ours")
    assert way_to_get(dvc_project, right) == "beampermit data pull", "which says what is wrong with dvc.lock"


@pytest.mark.timeout(20)
def test_dat004_does_not_wait_for_a_pipe(dvc_project: Project) -> None:
    file = dvc_project.root / "data/dataset/train.parquet"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(Failed, match="is a named pipe"):
        dat004(dvc_project)


NS_AS_US = "make_timestamp(epoch_ns(acquired_at))"
FAR = {
    "nanoseconds taken for microseconds": (f"{NS_AS_US}", "first: 57"),
    "with a zone": (f"({NS_AS_US})::TIMESTAMPTZ", "first: 57"),
    "infinite": ("'infinity'::TIMESTAMP", "first: infinity"),
    "before all": ("'-infinity'::TIMESTAMPTZ", "first: -infinity"),
    "a day of millions": ("'5000000-01-01'::DATE", "first: 5000000-01-01"),
    "the largest": ("make_timestamp(9223372036854775806)", "first: 294247-01-10"),
    "the smallest": ("make_timestamp(-200000000000000000)", "first: 4369-"),
}


@pytest.mark.attack(
    guard="DAT004",
    tried="times in nanoseconds are taken for microseconds and are in the year 57,000",
    said="acquired_at is not a time of the years 1 to 9999 in 8 of 8 rows",
)
@pytest.mark.parametrize("case", FAR)
def test_dat004_fails_on_times_that_no_document_can_show(
    dvc_project: Project, alter: Alter, case: str, said: str
) -> None:
    """Card and comparison are made all the same, without these times, and DAT005 says what is wrong."""
    time, first = FAR[case]
    alter("train", f"* REPLACE ({time} AS acquired_at)")
    finding = dat004(dvc_project)
    assert finding.outcome is Outcome.FAILED
    assert said in finding.reason
    assert f"({first}" in finding.reason
    other = dat005(dvc_project)
    assert other.outcome is Outcome.FAILED
    assert "acquired_at is not a time of the years 1 to 9999 in 8 rows" in other.reason
    (table, *_) = open_tables(dvc_project.root, dvc_project.contract.dataset.splits)
    assert profile(table, ColumnRoles.of(dvc_project.contract)).times is None
    differences = compare_versions(load_version(dvc_project, "HEAD"), load_version(dvc_project, "."))
    assert "8 rows changed (acquired_at in 8)" in differences[0].changes


@pytest.mark.parametrize(
    ("time", "passes"),
    [
        ("TIMESTAMP '9999-12-30 23:59:59.999999'", True),
        ("TIMESTAMP '9999-12-31 00:00:00'", False),
        ("TIMESTAMP '0001-01-01 00:00:00'", True),
        ("TIMESTAMP '0001-01-01 00:00:00' - INTERVAL 1 MICROSECOND", False),
        ("DATE '1970-01-01'", True),
        ("make_timestamp_ns(9223372036854775806)", True),
    ],
)
def test_dat004_accepts_every_time_that_documents_can_show(
    dvc_project: Project, alter: Alter, time: str, passes: bool
) -> None:
    alter("train", f"* REPLACE ({time} AS acquired_at)")
    assert (dat004(dvc_project).outcome is Outcome.PASSED) is passes
    (table, *_) = open_tables(dvc_project.root, dvc_project.contract.dataset.splits)
    assert (profile(table, ColumnRoles.of(dvc_project.contract)).times is not None) is passes


def test_dat004_reads_the_time_that_the_base_branch_names(dvc_project: Project, alter: Alter) -> None:
    """A pull request cannot stop the check by splitting by another column."""
    alter("train", f"* REPLACE ({NS_AS_US} AS acquired_at)")
    replace(dvc_project.root / "contract.yaml", "time: acquired_at", "time: null")
    assert "acquired_at is not a time of the years" in dat004(Project(dvc_project.root, base="main")).reason


# DAT005

SHARED: dict[str, tuple[str, str]] = {
    "time": ("* REPLACE (acquired_at - INTERVAL 1 DAY AS acquired_at)", "overlap in acquired_at from 2026-01-02T00:00"),
    "device": ("* REPLACE ('BPM.2' AS device)", "validation and test share 1 value of device, such as BPM.2"),
    "acquisition": (
        "* REPLACE ('a02-1' AS acquisition)",
        "validation and test share 1 value of acquisition, such as a02-1",
    ),
    "rows": (
        "* REPLACE ('BPM.2' AS device, 'a02' || acquisition[4:] AS acquisition)",
        "validation and test share 8 rows, such as a02-0 BPM.2 X",
    ),
    "no group": ("* REPLACE (NULL::VARCHAR AS device)", "device is null in 8 rows, which therefore belong to no group"),
}


@pytest.mark.plants("DAT005")
@pytest.mark.parametrize("defect", SHARED)
def test_dat005_fails_on_what_splits_share(dvc_project: Project, alter: Alter, defect: str) -> None:
    columns, reason = SHARED[defect]
    alter("test", columns)
    finding = dat005(dvc_project)
    assert finding.outcome is Outcome.FAILED
    assert any(reason in overlap["message"] for overlap in finding.evidence["overlaps"])


@pytest.mark.attack(
    guard="DAT005",
    tried="a column of a split is called as its other table is in our SQL, and has fields called as the groups",
    said="validation and test share 1 value of device, such as BPM.2",
)
def test_dat005_takes_no_column_of_a_table_for_a_table(dvc_project: Project, alter: Alter, said: str) -> None:
    fields = "struct_pack(device := 'none', acquisition := 'none')"
    alter("test", f"* REPLACE ('BPM.2' AS device), {fields} AS one, {fields} AS other")
    assert said in dat005(dvc_project).reason


def test_dat005_is_judged_by_the_base_branch(dvc_project: Project, alter: Alter) -> None:
    alter("test", "* REPLACE ('BPM.2' AS device)")
    replace(dvc_project.root / "contract.yaml", "by: [acquisition, device]", "by: [acquisition]")
    assert "share 1 value of device" in dat005(dvc_project).reason


def test_dat005_names_the_signals_that_are_too_short_to_be_compared(dvc_project: Project, alter: Alter) -> None:
    replace(dvc_project.root / "contract.yaml", "shape: [4], ", "")
    for split in ("train", "validation", "test"):
        alter(split, "* REPLACE (turns[4] AS turns)")
    finding = dat005(Project(dvc_project.root))
    assert "too short to compare, with fewer than 32 values: turns" in finding.reason
    assert finding.evidence["not_compared"] == ("turns",)


def test_dat005_says_how_many_rows_are_equal_by_chance(dvc_project: Project) -> None:
    finding = dat005(dvc_project)
    assert finding.outcome is Outcome.PASSED
    assert "; of rows that repeat by nature, at least 16 stand in two splits" in finding.reason
    assert finding.evidence["equal_by_chance"] == 16


@pytest.mark.attack(
    guard="DAT005",
    tried="a row of the test is copied into the training with noise, and `resolution` is made finer than the noise",
    said="the inputs of 1 row of test are those of train: a03-1 BPM.3 Y is a01-0 BPM.1 X",
)
def test_dat005_finds_copies_of_rows_by_the_base_branch_s_resolution(
    dvc_project: Project, alter: Alter, said: str
) -> None:
    for seed, split in enumerate(("train", "validation", "test")):
        value = f"(hash(acquisition || plane || {seed} || i) % 100000) / 3000.0 - 16"
        alter(split, f"* REPLACE (list_transform(range(4), lambda i: {value})::DOUBLE[] AS turns)")
    train = dvc_project.root / "data/dataset/train.parquet"
    copied = f"(SELECT list_transform(turns, lambda x: x + 0.04) FROM read_parquet('{train}') LIMIT 1)"
    alter("test", f"* REPLACE (CASE WHEN acquisition = 'a03-1' AND plane = 'Y' THEN {copied} ELSE turns END AS turns)")

    def judged(resolution: float | None, base: float | None) -> Finding:
        contract = dvc_project.contract
        turns = contract.signals.inputs[0]
        contract, base_contract = (
            contract.model_copy(
                update={"signals": contract.signals.model_copy(update={"inputs": (turns.model_copy(update=given),)})}
            )
            for given in ({"resolution": resolution}, {"resolution": base})
        )
        return DAT005().check(dvc_project, contract, base_contract)

    for moved in (0.041, 1e-9, None):
        assert said in judged(moved, 0.041).reason
    for base in (0.039, None):
        assert judged(0.041, base).outcome is Outcome.PASSED


def test_dat005_says_which_column_is_missing(dvc_project: Project, alter: Alter) -> None:
    alter("test", "* EXCLUDE (acquired_at)")
    (verdict,) = check(dvc_project, select_interlocks(["DAT005"]))
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("data/dataset/test.parquet: there is no column 'acquired_at', which dataset")
    assert [place.file for place in verdict.locations] == ["data/dataset/test.parquet"]
    assert "Fix the stage that writes this table" in verdict.fix
    assert "Split the data" not in verdict.fix


def test_dat005_fails_on_a_signal_that_was_only_moved_to_another_split(dvc_project: Project, alter: Alter) -> None:
    replace(dvc_project.root / "contract.yaml", "shape: [4]", "shape: [40]")
    for seed, split in enumerate(("train", "validation")):
        noise = f"list_transform(range(40), lambda i: (hash(acquisition || plane || {seed} || i) % 1000) / 100.0)"
        alter(split, f"* REPLACE ({noise} AS turns)")
    train = dvc_project.root / "data/dataset/train.parquet"
    copied = f"(SELECT list_transform(turns[4:], lambda x: -2 * x) || [1, 5, 2] FROM '{train}' LIMIT 1)"
    alter("test", f"* REPLACE (CASE WHEN acquisition = 'a03-1' AND plane = 'Y' THEN {copied} END AS turns)")
    finding = dat005(Project(dvc_project.root))
    assert finding.outcome is Outcome.FAILED
    assert "turns of 1 row of test is a copy of train: a03-1 BPM.3 Y is a01-0 BPM.1 X, 3 values earlier, times -2" in (
        finding.reason
    )
