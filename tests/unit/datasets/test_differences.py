"""Versions of a dataset are compared: git revisions, the work tree, files and folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from beampermit.datasets.differences import WORK_TREE, SplitDifference, bars, compare_versions, load_version
from beampermit.datasets.profile import ColumnRoles, profile
from beampermit.errors import BadInput, Failed, Outside
from beampermit.project import Project
from support.dvc_repositories import leaf, remake, without_data

pytestmark = pytest.mark.slow

Alter = Callable[..., None]
TRAIN = "data/dataset/train.parquet"


def words(project: Project, before: str = "HEAD", after: str = WORK_TREE) -> dict[str, tuple[str, ...]]:
    found = compare_versions(load_version(project, before), load_version(project, after))
    return {one.split: one.changes for one in found}


def write(file: Path, select: str) -> None:
    import duckdb

    duckdb.sql(f"COPY ({select}) TO '{file}' (FORMAT parquet)")


def test_equal_data_have_no_changes(dvc_project: Project) -> None:
    assert words(dvc_project) == {"train": (), "validation": (), "test": ()}


CHANGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "rows gone": ("*", "LIMIT 6", ("rows: 8 → 6", "0 rows added, 2 removed")),
    "labels": (
        "* REPLACE (true AS faulty)",
        "",
        (
            "4 rows changed (faulty in 4)",
            "faulty false: 50.0% → 0.0%",
            "faulty true: 50.0% → 100.0%",
        ),
    ),
    "another device": ("* REPLACE ('BPM.1' || plane AS device)", "", ("distinct values of device: 1 → 2",)),
    "signals": (
        "* REPLACE (list_transform(turns, lambda x: 2 * x + 1) AS turns)",
        "",
        ("8 rows changed (turns in 8)", "turns: mean 0.75 → 2.5 mm", "turns: range -1 to 3 → -1 to 7 mm"),
    ),
    "no numbers": (
        "* REPLACE ([turns[1], 'nan'::FLOAT, 'inf'::FLOAT, NULL] AS turns)",
        "",
        ("turns: 0 → 24 values missing or not finite",),
    ),
    "nothing but NaN": ("* REPLACE ([1, 'nan'::FLOAT] AS turns)", "WHERE false", ("rows: 8 → 0",)),
    "a column": ("* EXCLUDE (faulty), 1 AS weight", "", ("column faulty removed", "column weight added")),
    "a type": ("* REPLACE (1 AS faulty)", "", ("type of column faulty: BOOLEAN → INTEGER",)),
    "another unit of time": (
        "* REPLACE (acquired_at + INTERVAL 400 DAY AS acquired_at)",
        "",
        ("times: 2026-01-01T00:00:00Z to 2026-01-01T03:00:00Z → 2027-02-05T00:00:00Z to 2027-02-05T03:00:00Z",),
    ),
    "a clock jump": (
        "* REPLACE (acquired_at + to_minutes(CASE WHEN turns[4] = 3 THEN 10000 ELSE 0 END) AS acquired_at)",
        "",
        ("gaps in time: 0 → 1",),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_described(dvc_project: Project, alter: Alter, change: str) -> None:
    columns, rest, expected = CHANGES[change]
    alter("train", columns, rest)
    found = words(dvc_project)
    assert set(expected) <= set(found["train"]), found["train"]
    assert found["test"] == ()


def test_both_histograms_are_drawn_over_one_span(dvc_project: Project, alter: Alter) -> None:
    alter("train", "* REPLACE (list_transform(turns, lambda x: x + 5) AS turns)")
    (train, *_) = compare_versions(load_version(dvc_project, "HEAD"), load_version(dvc_project, WORK_TREE))
    assert train.before is not None
    assert train.after is not None
    old, new = train.before.signals["turns"], train.after.signals["turns"]
    assert old.span == new.span
    assert sum(old.bins) == sum(new.bins) == 32
    assert bars(old.bins)[-1] == bars(new.bins)[0] == "▁"


def test_a_missing_version_is_fetched_from_the_remote(dvc_project: Project, alter: Alter) -> None:
    alter("train", "*", "LIMIT 7")
    remake(dvc_project.root)
    dvc_project.git("commit", "--quiet", "--all", "--message", "Fewer")
    before = (dvc_project.root / TRAIN).read_bytes()
    leaf(dvc_project.root, dvc_project.root / ".dvc/cache", TRAIN).unlink()
    assert words(dvc_project, "main", "HEAD")["train"][0] == "rows: 8 → 7"
    assert (dvc_project.root / TRAIN).read_bytes() == before
    assert dvc_project.git("status", "--porcelain") == ""


def test_a_version_whose_bytes_are_wrong_is_not_compared(dvc_project: Project, storage: Path) -> None:
    places = [leaf(dvc_project.root, store, TRAIN) for store in (dvc_project.root / ".dvc/cache", storage)]
    without_data(dvc_project)
    places[1].chmod(0o644)
    places[1].write_bytes(b"PAR1" + b"x" * (places[1].stat().st_size - 4))
    with pytest.raises(Failed, match=r"train.parquet on the remote does not match its hash"):
        load_version(dvc_project, "HEAD")
    places[1].unlink()
    with pytest.raises(Failed, match=r"train.parquet is not on the remote"):
        load_version(dvc_project, "HEAD")
    with pytest.raises(Failed, match=r"train.parquet .* is not on this machine"):
        load_version(dvc_project, "HEAD", remote=False)


def test_a_remote_that_is_down_is_the_outside_world(dvc_project: Project, storage: Path) -> None:
    without_data(dvc_project)
    storage.rename(storage.with_name("gone"))
    storage.write_text("a broken disk")
    with pytest.raises(Outside):
        load_version(dvc_project, "HEAD")


NOTHING: dict[str, tuple[str, str]] = {
    "no such thing": ("nowhere", "'nowhere' is neither a Parquet file, nor a folder of them, nor a revision"),
    "an option": ("--all", "'--all' is neither"),
    "an empty folder": ("labels", "there is no Parquet file in this folder"),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_an_unknown_version_is_refused(dvc_project: Project, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(dvc_project.root)
    word, message = NOTHING[kind]
    with pytest.raises(BadInput, match=message):
        load_version(dvc_project, word)


def test_a_revision_without_data_is_refused(dvc_project: Project) -> None:
    (dvc_project.root / "dvc.lock").write_text("stages: {}\n")
    dvc_project.git("commit", "--quiet", "--all", "--message", "No data")
    with pytest.raises(BadInput, match=r"data/dataset/train.parquet is not in dvc.lock of revision HEAD"):
        load_version(dvc_project, "HEAD")
    (dvc_project.root / "dvc.lock").write_text("<<<<<<< HEAD\n")
    dvc_project.git("commit", "--quiet", "--all", "--message", "A conflict")
    with pytest.raises(BadInput, match=r"dvc.lock of [0-9a-f]{12} is not YAML|is not in dvc.lock"):
        load_version(dvc_project, "HEAD")


def compared(one: Path, other: Path) -> tuple[SplitDifference, ...]:
    return compare_versions(load_version(None, str(one)), load_version(None, str(other)))


def test_two_files_are_compared_whatever_their_names_without_a_project(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", "SELECT range AS x, [range, 1.5] AS w, 'n' AS word FROM range(10)")
    write(tmp_path / "b.parquet", "SELECT range * 2 AS x, [range, 1.5] AS w, 'n' AS word FROM range(10)")
    (found,) = compared(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert found.changes == ("x: mean 4.5 → 9", "x: standard deviation 2.872 → 5.745", "x: range 0 to 9 → 0 to 18")


def test_a_folder_may_have_more_files_than_another(tmp_path: Path) -> None:
    for folder, names in {"a": ("train", "test"), "b": ("train", "extra")}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            write(tmp_path / folder / f"{name}.parquet", "SELECT range AS x FROM range(3)")
    found = {one.split: one.changes for one in compared(tmp_path / "a", tmp_path / "b")}
    assert found == {"test": ("removed",), "train": (), "extra": ("added, 3 rows",)}


def test_names_with_sql_and_glob_characters_are_taken_literally(tmp_path: Path) -> None:
    for name in ("it's [0-9]*.parquet", "äü.parquet"):
        write(tmp_path / "x.parquet", 'SELECT range AS "a ""b\'; DROP" FROM range(4)')
        (tmp_path / "x.parquet").rename(tmp_path / name)
    (found,) = compared(tmp_path / "it's [0-9]*.parquet", tmp_path / "äü.parquet")
    assert found.changes == ()
    assert found.after is not None
    assert list(found.after.signals) == ["a \"b'; DROP"]


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", "SELECT range AS x FROM range(3)")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:60])
    with pytest.raises(Failed, match=r"b.parquet: cannot be read"):
        compared(tmp_path / "a.parquet", tmp_path / "b.parquet")


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.parquet")
    with pytest.raises(Failed, match="a named pipe, not a file"):
        load_version(None, str(tmp_path))
    with pytest.raises(BadInput, match="is neither"):
        load_version(None, str(tmp_path / "p.parquet"))


def test_local_times_that_repeat_are_reported_in_utc(tmp_path: Path) -> None:
    # 02:30 happens twice in Zurich on that night; the moments are an hour apart.
    write(
        tmp_path / "a.parquet",
        "SELECT unnest([TIMESTAMPTZ '2026-10-25 02:30:00+02:00', TIMESTAMPTZ '2026-10-25 02:30:00+01:00',"
        " TIMESTAMPTZ '2026-10-25 02:30:00+01:00', TIMESTAMPTZ '2026-10-25 03:30:00+01:00']) AS at",
    )
    (table,) = load_version(None, str(tmp_path)).tables.values()
    times = profile(table, ColumnRoles(time="at")).times
    assert times is not None
    assert (times.first, times.last, times.step, times.gaps) == (
        "2026-10-25T00:30:00Z",
        "2026-10-25T02:30:00Z",
        3600,
        0,
    )


MEASURED = [
    ("[0, 1, 2, 1]", {0: 1, 1: 2, 2: 1}),
    ("[0.0, 1.0, 1.0]", {"0.0": 1, "1.0": 2}),
    ("[true, false, NULL]", {"false": 1, "true": 1, "null": 1}),
    ("['a', 'b', 'a']", {"a": 2, "b": 1}),
    ("range(12)", dict.fromkeys(range(12), 1)),
    ("range(13)", None),
    ("[0.0, 0.5]", None),
    ("[[0, 1], [2, 3]]", None),
    ("[[[0.0, 1.0]], [[2.0, 3.0]]]", None),
    ("[NULL::DOUBLE, 'nan'::DOUBLE]", {"nan": 1, "null": 1}),
]


@pytest.mark.parametrize(("values", "balance"), MEASURED)
def test_a_target_is_a_class_or_a_quantity_by_its_values(values: str, balance: dict | None, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", f"SELECT unnest({values}) AS truth")
    (table,) = load_version(None, str(tmp_path)).tables.values()
    found = profile(table, ColumnRoles(targets=("truth", "absent")))
    expected = {"truth": {str(value): count for value, count in balance.items()}} if balance else {}
    assert (found.balance, set(found.signals)) == (expected, set() if balance else {"truth"})
    again = profile(table, ColumnRoles(targets=("truth",)), {"truth": (0, 1)})
    assert ("truth" in again.signals) is (balance is None or not values.startswith(("['", "[true")))


def test_a_quantity_that_moves_is_told_like_a_signal_and_no_list_of_its_values(tmp_path: Path) -> None:
    roles = ColumnRoles(targets=("charge", "kind"), units={"charge": "nC"})
    for name, shift, kind in (("before", 0, "a"), ("after", 5, "b")):
        (tmp_path / name).mkdir()
        rows = f"SELECT i + 0.25 + {shift} AS charge, '{kind}' AS kind FROM range(20) t(i)"
        write(tmp_path / name / "train.parquet", rows)
    old, new = (replace(load_version(None, str(tmp_path / name)), roles=roles) for name in ("before", "after"))
    (difference,) = compare_versions(old, new)
    assert "charge: mean 9.75 → 14.75 nC" in difference.changes
    assert not any(change.startswith("charge 0.25") for change in difference.changes)
    assert "kind a: 100.0% → 0.0%" in difference.changes


def test_the_largest_numbers_have_a_histogram(dvc_project: Project, alter: Alter) -> None:
    """Their span is larger than the largest number."""
    alter("train", "* REPLACE ([1.7e308::DOUBLE, -1.7e308::DOUBLE, 0, 0] AS turns)")
    assert "8 rows changed (turns in 8)" in words(dvc_project)["train"]
