"""What was recorded goes through the cycles of the service: twice the same, and as if nothing had been between."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beampermit.errors import BadInput
from beampermit.live.log.reading import Selection
from beampermit.live.loop import Loop
from beampermit.live.replay import moments
from beampermit.live.replay.moments import Moment, Sample, open_recorded
from beampermit.live.replay.replay import replay
from beampermit.live.replay.results import Summary, write_results
from beampermit.live.severity import Severity
from beampermit.live.trigger import WATCH
from support.prediction_logs import Logged
from support.prediction_logs import rows as rows_of
from support.served import NOW, SIGNALS, Serve, Served

Recording = Callable[..., Path]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """A table of these rows: second, device, turns, current, severity of the turns."""

    def made(*rows: tuple[float, str, Any, float, int]) -> Path:
        values = ", ".join(
            f"(make_timestamptz({round((NOW + second) * 1e6)}), '{device}', {turns}, {current}, {severity})"
            for second, device, turns, current, severity in rows
        )
        names = "acquired_at, device, turns, current, turns_severity"
        file = tmp_path / "rows.parquet"
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT * FROM (VALUES {values}) t({names})) TO '{file}'")
        return file

    return made


def played(served: Served, path: Path, out: Path, **options: Any) -> Summary:
    """Into a table, by a loop that has seen nothing yet."""
    loop = fresh(served)
    with open_recorded(path, loop.wiring, "acquired_at", **options) as recorded:
        return write_results(replay(loop, recorded.moments()), loop.wiring, 3, out)


def fresh(served: Served) -> Loop:
    loop = served.loop
    return Loop(loop.contract, loop.wiring, served.model, loop.standing, lambda _: None)


ROWS = (
    (0, "B1", [1.0, 2.0, 3.0], 300.0, 0),
    (0, "B2", [4.0, 4.0, 4.0], 300.0, 2),
    (0, "B3", [1.0, 1.0, 1.0], 300.0, 3),
    (1, "B1", "[1.0, 'nan'::DOUBLE, 3.0]", 300.0, 0),
    (1, "B2", [1.0, 2.0, 33.0], 300.0, 0),
    (1, "B3", "NULL", 300.0, 0),
    (2, "B2", [1.0, 2.0, 3.0], 300.0, 0),
)


@pytest.mark.slow
def test_rows_get_what_the_service_would_have_shown(serve: Serve, recording: Recording, tmp_path: Path) -> None:
    played(serve(), recording(*ROWS), tmp_path / "out.parquet")
    names = ("served.at", "served.row", "score.shown", "score.severity", "score.message")
    shown = [tuple(row.values()) for row in rows_of(tmp_path / "out.parquet", *names)]
    assert [(at - NOW, row, severity, message) for at, row, _, severity, message in shown] == [
        (0, "B1", 0, ""),
        (0, "B2", 2, "B2:TBT has severity MAJOR"),
        (0, "B3", 3, "B3:TBT has severity INVALID"),
        (1, "B1", 3, "B1:TBT is NaN"),
        (1, "B2", 3, "B2:TBT is 33, outside its range [-20, 20]"),
        (1, "B3", 3, "B3:TBT is NaN"),
        (2, "B2", 0, ""),
    ]
    assert [shown[place][2] for place in (0, 1, 6)] == [4.0, 8.0, 4.0]


def test_a_clock_that_was_ahead_hides_no_silence(serve: Serve) -> None:
    """As in service: a sample arrives at its moment, whatever its time."""
    samples = [Sample(0, pv, (1.0, 2.0, 3.0), NOW + 9, 0) for pv in range(3)]
    moments = Moment(NOW, (*samples, Sample(1, 0, 300.0, NOW, 0))), Moment(NOW + 8, (), due=False)
    shown = [(update.at - NOW, update.values.get("B1:FAULT")) for update in replay(fresh(serve()), moments)]
    changes = [(after, value.message) for after, value in shown if value]
    assert changes == [(0, ""), (pytest.approx(5 + WATCH), "B1:TBT is older than 5 s")]


VALVE = {"name": "valve", "pv": "{device}:VALVE", "words": ["OUT", "MOVING", "IN"]}


@pytest.mark.slow
def test_a_table_has_words_or_their_numbers(serve: Serve, tmp_path: Path) -> None:
    served = serve(signals={**SIGNALS, "inputs": [*SIGNALS["inputs"], VALVE]})
    shown = {}
    for kind, values in {"numbers": [2.0, 1.0, 3.0, 1.5], "words": ["IN", "MOVING", "1", "in"]}.items():
        write_valves(tmp_path / "rows.parquet", values)
        played(served, tmp_path / "rows.parquet", tmp_path / f"{kind}.parquet")
        rows = rows_of(tmp_path / f"{kind}.parquet", "served.row", "valve", "score.message")
        shown[kind] = [(row["valve"], row["score.message"]) for row in rows if row["served.row"] == "B1"]
    one_of = "OUT, MOVING, IN"
    good = [(2.0, ""), (1.0, "")]
    assert shown["numbers"] == [*good, (None, f"B1:VALVE has float instead of one of the words {one_of}")]
    assert shown["words"] == [
        *good,
        (None, f"B1:VALVE has the word '1', which is none of {one_of}"),
        (None, f"B1:VALVE has the word 'in', which is none of {one_of}"),
    ]


@pytest.mark.slow
def test_numbers_that_stand_for_other_words_are_refused(serve: Serve, tmp_path: Path) -> None:
    write_valves(tmp_path / "rows.parquet", [0.0, 1.0], unit="0 = 'OUT', 1 = 'IN'")
    for words in (["OUT", "IN"], ["IN", "OUT"]):
        wiring = serve(signals={**SIGNALS, "inputs": [*SIGNALS["inputs"], {**VALVE, "words": words}]}).loop.wiring
        with open_recorded(tmp_path / "rows.parquet", wiring, "acquired_at") as recorded:
            if words[0] == "OUT":
                recorded.require()
                continue
            with pytest.raises(BadInput) as caught:
                recorded.require()
            said = "valve was written with 0 = 'OUT', 1 = 'IN', and the contract says 0 = 'IN', 1 = 'OUT'"
            assert caught.value.message == said


def write_valves(file: Path, values: list[Any], unit: str = "") -> None:
    """Rows of one device, with other inputs that are good; `unit` is said of the column."""
    count = len(values)
    times = [datetime.fromtimestamp(NOW + second, UTC) for second in range(count)]
    columns = {"device": ["B1"] * count, "turns": [[1.0, 2.0, 3.0]] * count, "current": [300.0] * count}
    table = pa.table({"acquired_at": times, **columns, "valve": values})
    field = table.schema.field("valve").with_metadata({"unit": unit} if unit else None)
    pq.write_table(table.set_column(4, field, table["valve"]), file)


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(serve: Serve, recording: Recording, tmp_path: Path) -> None:
    file = recording(*ROWS)
    for name in ("one", "two"):
        played(serve(), file, tmp_path / f"{name}.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


@pytest.mark.slow
def test_rows_are_read_in_parts_where_they_are_large(
    serve: Serve, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, one, other = serve(), tmp_path / "one.parquet", tmp_path / "other.parquet"
    played(served, recording(*ROWS), one)
    monkeypatch.setattr(moments, "NUMBERS_AT_ONCE", 1)
    played(served, recording(*ROWS), other)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_outputs_become_stale_between_two_rows(serve: Serve, recording: Recording, tmp_path: Path) -> None:
    first, second = ((after, "B1", [1.0, 2.0, 3.0], 300.0, 0) for after in (0, 100))
    played(serve(), recording(first, second), tmp_path / "out.parquet")
    shown = rows_of(tmp_path / "out.parquet", "served.at", "served.row", "score.severity", "score.message")
    assert [(round(row["served.at"] - NOW, 3), row["score.message"]) for row in shown if row["served.row"] == "B1"] == [
        (0, ""),
        (5.2, "B1:TBT is older than 5 s"),
        (100, ""),
    ]


@pytest.mark.slow
def test_a_value_is_held_as_long_as_in_service(serve: Serve, recording: Recording, tmp_path: Path) -> None:
    served = serve(fallback={"on_invalid": "hold", "hold_for": "10s"})
    rows = [(after, "B1", [1.0, 2.0, 3.0], 300.0, severity) for after, severity in ((0, 0), (4, 3), (30, 0), (100, 0))]
    played(served, recording(*rows), tmp_path / "out.parquet")
    shown = rows_of(tmp_path / "out.parquet", "served.at", "served.row", "score.origin")
    changes = itertools.groupby((row for row in shown if row["served.row"] == "B1"), lambda row: row["score.origin"])
    assert [(origin, round(next(rows)["served.at"] - NOW, 3)) for origin, rows in changes] == [
        ("model", 0), ("held", 4), ("none", 14.2), ("model", 30), ("held", 35.2), ("none", 45.2), ("model", 100),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_log_is_replayed_as_it_was_asked(serve: Serve, logged: Logged, tmp_path: Path) -> None:
    served = serve()
    log = logged(served)
    for second in range(4):
        served.at = NOW + second
        served.current(300.0, severity=second == 2)
        served.put([float(second)] * 3, age=0.25)
        log.publish(served.cycle())
    log.close()
    beside = logged(served, version=4, shadow=lambda: True)
    served.put(age=-1)
    beside.publish(served.cycle(after=1))
    beside.close()
    out, selection = tmp_path / "out.parquet", Selection(versions=(3, 4))
    played(served, tmp_path / "log", out, selection=selection)
    names = ("served.at", "served.time", "served.row", "turns", "score", "score.shown", "score.severity")
    assert rows_of(out, *names) == rows_of(tmp_path / "log/toy-model/3", *names)


@pytest.mark.slow
def test_reasons_are_counted(serve: Serve, recording: Recording, tmp_path: Path) -> None:
    summary = played(serve(), recording(*ROWS), tmp_path / "out.parquet")
    assert (summary.cycles, summary.asked) == (3, 3)
    assert summary.shown[Severity.INVALID] == 8
    assert summary.reasons["B1:TBT is NaN"] == 2  # of two outputs


@pytest.mark.slow
def test_speed_is_kept_and_a_replay_can_be_stopped(serve: Serve, recording: Recording) -> None:
    loop, stop = fresh(serve()), threading.Event()
    rows = [(second, "B1", [1.0, 2.0, 3.0], 300.0, 0) for second in (0, 1, 2, 4000)]
    with open_recorded(recording(*rows), loop.wiring, "acquired_at") as recorded:
        updates, began = replay(loop, recorded.moments(), speed=20, stop=stop), time.monotonic()
        assert [next(updates).at for _ in range(3)] == [NOW, NOW + 1, NOW + 2]
        assert time.monotonic() - began >= 0.1
        stop.set()
        assert next(updates, None) is None


@pytest.mark.slow
def test_rows_of_unknown_devices_are_counted(serve: Serve, recording: Recording) -> None:
    loop = fresh(serve())
    with open_recorded(recording(ROWS[0], (0, "B9", [1.0], 300.0, 0)), loop.wiring, "acquired_at") as recorded:
        (moment,) = recorded.moments()
        assert (len(moment.samples), recorded.strange) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("turns", "there is no column 'turns'; did you mean 'turns_severity'"),
        ("device", "there is no column 'device'"),
        ("acquired_at", "there is no column 'acquired_at'; did you mean 'current'"),
    ],
)
def test_a_missing_column_is_named(serve: Serve, recording: Recording, tmp_path: Path, column: str, words: str) -> None:
    file = recording(*ROWS)
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT * EXCLUDE {column} FROM '{file}') TO '{tmp_path}/less.parquet'")
    with pytest.raises(BadInput, match=words):
        played(serve(), tmp_path / "less.parquet", tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.slow
def test_what_is_no_table_is_said(serve: Serve, recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such table"):
        played(serve(), tmp_path / "nothing.parquet", tmp_path / "out.parquet")
    loop = fresh(serve())
    with (
        open_recorded(recording(*ROWS), loop.wiring, "current") as recorded,
        pytest.raises(BadInput, match=r"column 'current' has type DECIMAL.*, which is no time"),
    ):
        next(recorded.moments())
