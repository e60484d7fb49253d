"""A log is read whole while a service writes it, and as little of it as the times and versions need."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import BadInput, Failed
from beampermit.live.log import reading
from beampermit.live.log.reading import Selection, open_log, parse_moment
from support.prediction_logs import Logged
from support.served import NOW, SIGNALS, Serve, Served

AT = datetime.fromtimestamp(NOW, UTC)


def found(folder: Path, newest: int | None = None, **selected: Any) -> list[dict[str, Any]]:
    with open_log(folder / "log", Selection(**selected)) as log:
        return [*log.records(newest)]


@pytest.fixture
def folder(serving: Served, logged: Logged, tmp_path: Path) -> Path:
    """Version 3: a closed file of the first hour, and an open one of the second, in which B2 is INVALID."""
    log = logged(serving)
    for after, turns in ((1, 1.0), (3600, float("nan"))):
        serving.put()
        serving.current()
        serving.at += after
        serving.put()
        serving.current()
        serving.put([1.0, 2.0, turns], device="B2")
        log.publish(serving.cycle())
        log._write()
        log._settle()
    return tmp_path


@pytest.mark.slow
def test_closed_and_open_files_are_read_in_order_of_time(folder: Path) -> None:
    assert {file.suffix for file in (folder / "log").rglob("*T*")} == {".parquet", ".arrow"}
    times = [(record["served.at"], record["served.row"]) for record in found(folder)]
    first, second = "2027-01-15T08:00:01.000000Z", "2027-01-15T09:00:01.000000Z"
    assert times == [(time, row) for time in (first, second) for row in ("B1", "B2", "B3")]
    assert [(record["served.at"], record["served.row"]) for record in found(folder, newest=2)] == times[-2:]
    assert not [*folder.glob("beampermit-log-*")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("selected", "rows"),
    [
        ({"since": AT + timedelta(seconds=1)}, 6),
        ({"since": AT + timedelta(seconds=1.001)}, 3),
        ({"until": AT + timedelta(seconds=3601)}, 3),
        ({"until": AT + timedelta(seconds=3601.001)}, 6),
        ({"since": AT, "until": AT + timedelta(seconds=1)}, 0),
        ({"invalid": True}, 1),
        ({"invalid": True, "outputs": ("orbit",)}, 1),
        ({"versions": (3, 9)}, 6),
        ({"versions": (7,)}, 0),
        ({"until": AT - timedelta(hours=1)}, 0),
    ],
)
def test_rows_are_selected(folder: Path, selected: Any, rows: int) -> None:
    assert len(found(folder, **selected)) == rows


@pytest.mark.slow
def test_files_of_other_hours_are_not_opened(folder: Path) -> None:
    (old,) = (folder / "log").rglob("*.parquet")
    old.write_bytes(b"no table")
    assert len(found(folder, since=AT + timedelta(hours=1.1))) == 0
    with pytest.raises(Failed, match=r"the prediction log cannot be read: .*too small"):
        found(folder)


@pytest.mark.slow
def test_one_output_and_the_inputs_are_left(folder: Path) -> None:
    names = [*found(folder, outputs=("orbit",))[0]]
    assert "turns" in names
    assert [name for name in names if name.startswith(("score", "orbit"))] == [
        "orbit", *(f"orbit.{detail}" for detail in ("shown", "severity", "status", "message", "origin"))
    ]  # fmt: skip


@pytest.mark.slow
def test_versions_with_other_inputs_stand_in_one_log(folder: Path, serve: Serve, logged: Logged) -> None:
    inputs = [*SIGNALS["inputs"], {"name": "tune", "source": "constant", "value": 0.3, "unit": "1", "range": [0, 1]}]
    served = serve(signals={**SIGNALS, "inputs": inputs})
    served.at += 7200
    served.put(device="B1")
    served.current()
    log = logged(served, version=4)
    log.publish(served.cycle())
    log.close()
    assert [record["tune"] for record in found(folder) if record["served.row"] == "B1"] == [None, None, 0.3]
    assert len(found(folder, versions=(4,))) == 3


@pytest.mark.slow
def test_an_open_file_that_is_closed_meanwhile_is_read_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = reading.write_parquet

    def closed_first(stream: Path, target: Path) -> bool:
        write(stream, stream.with_suffix(".parquet"))
        stream.unlink()
        return write(stream, target)

    monkeypatch.setattr(reading, "write_parquet", closed_first)
    assert len(found(folder)) == 6


@pytest.mark.slow
def test_a_file_that_is_there_open_and_closed_is_read_once(folder: Path) -> None:
    (stream,) = (folder / "log").rglob("*.arrow")
    reading.write_parquet(stream, stream.with_suffix(".parquet"))
    assert len(found(folder)) == 6


@pytest.mark.slow
def test_an_output_that_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(BadInput, match="no output 'scor' is in this log; it has score, orbit"):
        found(folder, outputs=("scor",))


def test_a_folder_without_a_log_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such folder"):
        found(tmp_path)
    (tmp_path / "log").mkdir()
    (tmp_path / "log/other.parquet").touch()
    with pytest.raises(BadInput, match="there is no prediction log in this folder"):
        found(tmp_path)
    (tmp_path / "log/2027-01-15T080000.000000Z.arrow").touch()
    with pytest.raises(BadInput, match="has no rows yet"):
        found(tmp_path)


def test_moments() -> None:
    assert parse_moment("90min", lambda: AT) == AT - timedelta(minutes=90)
    assert parse_moment("2026-11-29T15:00:00+01:00") == datetime(2026, 11, 29, 14, tzinfo=UTC)
    with pytest.raises(BadInput, match="is no time"):
        parse_moment("yesterday")
    with pytest.raises(BadInput, match="has no time zone"):
        parse_moment("2026-11-29T15:00:00")
