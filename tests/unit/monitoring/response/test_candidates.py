"""The window of a trip becomes a small prediction log of its own, which a data request reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import BadInput, Failed
from beampermit.live.log.reading import open_log
from beampermit.monitoring.response import candidates
from beampermit.monitoring.response.candidates import load_candidate, store_candidate
from beampermit.verdicts.monitoring import Trip, Window
from support.responses import Responding, trip
from support.served import NOW

Respond = Callable[..., Responding]


def of_window(since: float, until: float, **more: object) -> Trip:
    window = Window(since=since, until=until, rows=3, version=3)
    return trip(**more).model_copy(update={"window": window})  # pyright: ignore[reportArgumentType]


@pytest.mark.slow
def test_a_candidate_has_the_rows_of_its_window_and_says_why(log: Path, tmp_path: Path) -> None:
    folder = store_candidate(tmp_path / "state", log, of_window(NOW + 1800, NOW + 3602))
    assert folder == tmp_path / "state/candidates/2027-01-15T090002Z-v3"
    with open_log(folder) as rows:
        times = [row["served.at"][11:19] for row in rows.records()]
    assert times == 3 * ["08:30:01"] + 3 * ["09:00:01"]
    about = json.loads((folder / "candidate.json").read_text())
    assert (about["rows"], about["trips"][0]["standing"]["reading"]["value"]) == (6, 0.42)
    assert about["trips"][0]["standing"]["reading"]["limit"] == 0.25
    files = ["3/2027-01-15T083000.000000Z.parquet", "3/2027-01-15T090000.000000Z.parquet"]
    assert sorted(about["files"]) == files


@pytest.mark.slow
def test_it_is_read_as_a_prediction_log_with_its_units(log: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = store_candidate(tmp_path / "state", log, of_window(NOW, NOW + 3600))
    (file,) = folder.rglob("*.parquet")
    assert pq.read_schema(file).field("turns").metadata[b"unit"] == b"mm"
    assert pq.read_table(file).num_rows == 6


@pytest.mark.slow
def test_rows_of_other_models_in_the_same_log_are_left_out(log: Path, tmp_path: Path) -> None:
    (own,) = log.iterdir()
    shutil.copytree(own, log / "bpm-faults")
    folder = store_candidate(tmp_path / "state", log, of_window(NOW, NOW + 3602))
    assert load_candidate(folder).rows == 9


@pytest.mark.slow
def test_another_alarm_of_the_same_window_is_added(log: Path, tmp_path: Path) -> None:
    first, second = (of_window(NOW, NOW + 3602, subject=subject) for subject in ("turns.std", "turns.mean"))
    for one in (first, second, second, first):
        folder = store_candidate(tmp_path / "state", log, one)
    assert [one.standing.reading.subject for one in load_candidate(folder).trips] == ["turns.std", "turns.mean"]
    assert len([*folder.parent.iterdir()]) == 1


@pytest.mark.slow
def test_what_a_kill_left_half_written_is_swept_away(log: Path, tmp_path: Path) -> None:
    left = tmp_path / "state/candidates/.2027-01-15T090002Z-v3.k1ll3d/made"
    left.mkdir(parents=True)
    (left / "half.parquet").write_bytes(b"PAR1")
    folder = store_candidate(tmp_path / "state", log, of_window(NOW, NOW + 3602))
    assert [*folder.parent.iterdir()] == [folder]
    with open_log(folder) as rows:
        assert len([*rows.records()]) == 9


@pytest.mark.slow
def test_a_damaged_log_is_said_and_tried_again(responding: Respond, log: Path) -> None:
    for file in log.rglob("*.parquet"):
        file.write_bytes(b"no table")
    monitor = responding(outlets={"log": log})
    journal = monitor.work(of_window(NOW, NOW + 3602))
    assert "the prediction log cannot be read" in journal.tasks[0].error
    assert len(monitor.github.issues) == 1


def test_without_a_log_an_alarm_is_told_all_the_same(responding: Respond, tmp_path: Path) -> None:
    monitor = responding(outlets={"log": tmp_path / "none"})
    journal = monitor.work(trip())
    assert journal.tasks == ()
    assert len(monitor.github.issues) == 1


@pytest.mark.slow
def test_there_are_not_more_than_a_disk_holds(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MOST", 2)
    for number in range(2):
        store_candidate(tmp_path / "state", log, of_window(NOW + number, NOW + 3602 + number))
    with pytest.raises(Failed, match="2 candidates are stored already"):
        store_candidate(tmp_path / "state", log, of_window(NOW + 9, NOW + 3611))
    shutil.rmtree(tmp_path / "state/candidates")
    store_candidate(tmp_path / "state", log, of_window(NOW + 9, NOW + 3611))


@pytest.mark.slow
def test_a_damaged_candidate_is_named(log: Path, tmp_path: Path) -> None:
    folder = store_candidate(tmp_path / "state", log, of_window(NOW, NOW + 3602))
    (folder / "candidate.json").write_text("{}")
    with pytest.raises(BadInput, match=r"candidate.json: not a dataset candidate: model: Field required"):
        load_candidate(folder)
