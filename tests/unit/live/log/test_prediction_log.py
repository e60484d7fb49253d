"""What is served is in the log, row by row, exactly; the service never waits for it, and what is lost is counted."""

from __future__ import annotations

import errno
import os
import resource
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from beampermit.live.log import prediction_log, stream
from beampermit.live.log.prediction_log import PredictionLog
from support.prediction_logs import Logged, rows
from support.served import DEVICES, NOW, Serve, Served


@pytest.mark.slow
def test_a_row_has_inputs_answers_and_all_that_was_shown(serve: Serve, logged: Logged, tmp_path: Path) -> None:
    served = serve()
    log = logged(served)
    served.put([1.0, 2.0, 3.0], age=0.5)
    served.put([0.1, 0.2, np.nan], device="B2", age=0.25)
    served.current(300.0, age=1, severity=1, message="HIGH")
    log.publish(served.cycle())
    log.close()
    (file,) = (tmp_path / "log/toy-model/3").iterdir()
    assert file.name == "2027-01-15T080000.000000Z.parquet"
    assert pq.read_schema(file).field("turns").metadata == {b"unit": b"mm"}
    sound, bad, _ = rows(tmp_path)
    assert (sound["device"], sound["turns"], sound["current"], sound["gain"]) == ("B1", [1.0, 2.0, 3.0], 300.0, 2.0)
    assert (sound["served.version"], sound["served.permit"], sound["served.worst"]) == (3, "sha256:p", 1)
    assert (sound["served.at"], sound["served.time"]) == (NOW, NOW - 0.5)
    assert (sound["score"], sound["orbit"], sound["score.shown"]) == (4.0, [2.0, 4.0, 6.0], 4.0)
    details = ("severity", "status", "message", "origin")
    assert [sound[f"score.{name}"] for name in details] == [
        1, "LINK", "RING:CURRENT has severity MINOR (HIGH)", "model"
    ]  # fmt: skip
    assert (bad["served.asked"], bad["served.worst"], bad["turns"], bad["score"]) == (False, None, None, None)
    assert np.isnan(bad["score.shown"])
    assert [bad[f"score.{name}"] for name in details] == [3, "READ", "B2:TBT is NaN", "none"]
    assert bad["served.time"] == NOW - 0.25, "of its newest input, whatever time its outputs are shown under"
    assert (log.written, log.lost, log.problem) == (3, 0, "")


def test_only_what_was_asked_or_changed_is_logged(serving: Served, logged: Logged, tmp_path: Path) -> None:
    log = logged(serving)
    log.publish(serving.cycle(after=0.2))
    serving.put([5.0, 5.0, 5.0], device="B3")
    log.publish(serving.cycle(after=0.2))
    log.publish(serving.cycle(after=6))  # the turns are stale now
    log.close()
    logged_rows = [tuple(row.values()) for row in rows(tmp_path, "served.row", "score.origin", "score")]
    assert logged_rows == [("B3", "model", 10.0), *((device, "none", None) for device in DEVICES)]


def test_what_the_model_should_not_have_said_is_there_as_it_said_it(
    serve: Serve, logged: Logged, tmp_path: Path
) -> None:
    served = serve()
    log = logged(served)
    served.model.gives = lambda answers: {"score": np.array([np.nan, 1e9, 1 / 3]), "orbit": answers["orbit"][:, :2]}
    served.put()
    served.current()
    log.publish(served.cycle())
    served.model.fails = "the model's process ended: killed by SIGKILL; its process is started again"
    served.put(device="B1")
    log.publish(served.cycle(after=1))
    for _ in range(5):
        log.publish(served.cycle(after=0.2, due=False))  # it is asked again, in vain
    log.close()
    first, second, third, failed, *others = rows(tmp_path)
    assert len(others) == 2
    assert np.isnan(first["score"])
    assert (second["score"], third["score"], third["score.shown"]) == (1e9, 1 / 3, 1 / 3)
    assert second["score.message"] == "the model gave 1e+09 for score, outside its range [-100, 100]"
    assert first["orbit"] is None
    assert "in shape (3, 2)" in first["orbit.message"]
    assert (failed["served.asked"], failed["turns"], failed["score"]) == (True, [1.0, 2.0, 3.0], None)


def test_a_row_for_which_the_model_raised_is_there_without_an_answer(
    serve: Serve, logged: Logged, tmp_path: Path
) -> None:
    served = serve()
    log = logged(served)
    served.model.raises_for = (9.0,)
    served.put()
    served.put([9.0, 0.0, 0.0], device="B2")
    served.current()
    log.publish(served.cycle())
    log.close()
    columns = ("served.row", "served.asked", "turns", "score", "orbit", "score.origin")
    first, raised, _ = (tuple(row.values()) for row in rows(tmp_path, *columns))
    assert first == ("B1", True, [1.0, 2.0, 3.0], 4.0, [2.0, 4.0, 6.0], "model")
    assert raised == ("B2", True, [9.0, 0.0, 0.0], None, None, "none")


def test_a_version_beside_the_one_in_service_is_logged_as_such(serving: Served, logged: Logged, tmp_path: Path) -> None:
    beside = True
    log = logged(serving, version=4, shadow=lambda: beside)
    for after in (1, 2):
        serving.put(device="B1")
        log.publish(serving.cycle(after=after))
        beside = False
    log.close()
    assert [row["served.shadow"] for row in rows(tmp_path)] == [True, False]


@pytest.mark.slow
def test_files_change_with_the_hour_and_by_size(serving: Served, logged: Logged, tmp_path: Path) -> None:
    log = logged(serving)

    def publish(after: float) -> int:
        serving.put()
        serving.current()
        log.publish(serving.cycle(after=after))
        log._write()
        log._settle()
        return len(list((tmp_path / "log/toy-model/3").iterdir()))

    assert [publish(1), publish(3598), publish(1)] == [1, 1, 2]
    log._largest = 1
    assert publish(1) == 3
    log.close()
    assert {file.suffix for file in (tmp_path / "log/toy-model/3").iterdir()} == {".parquet"}
    assert len(rows(tmp_path)) == 12


def test_the_oldest_files_make_room(serving: Served, logged: Logged, tmp_path: Path) -> None:
    older = tmp_path / "log/toy-model/2/2026-01-01T000000.000000Z.parquet"
    newer = tmp_path / "log/toy-model/1/2026-01-01T000001.000000Z.parquet"
    for file in (older, newer):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 6000)
    other = tmp_path / "log/other-model/1/2025-01-01T000000.000000Z.parquet"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"x" * 6000)
    logged(serving, disk=16000).close()  # a quarter of which is kept for what is open
    assert (older.exists(), newer.exists(), other.exists()) == (True, True, True)
    logged(serving, disk=15984).close()
    assert (older.exists(), newer.exists(), other.exists()) == (False, True, True)


@pytest.mark.slow
def test_a_full_disk_loses_rows_and_says_so_and_what_was_written_stays(
    serving: Served, logged: Logged, tmp_path: Path
) -> None:
    log = logged(serving)

    def publish(times: int) -> None:
        for _ in range(times):
            serving.put()
            log.publish(serving.cycle(after=0.1))
        log._write()
        log._settle()

    publish(2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log._stream.size + 1000, before[1]))  # pyright: ignore[reportOptionalMemberAccess]
    try:
        publish(100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (log.written, log.lost) == (6, 300)
    assert log.problem == "the prediction log cannot be written: file too large"
    publish(1)
    assert (log.written, log.lost, log.problem) == (9, 300, "")
    log.close()
    assert [row["served.lost"] for row in rows(tmp_path)] == [0] * 6 + [300] * 3


def test_a_slow_disk_is_not_waited_for(
    serving: Served, logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logged(serving)
    serving.put()
    update = serving.cycle(after=1)
    log.publish(update)
    monkeypatch.setattr(prediction_log, "MOST_WAITING", 2 * log._bytes)
    for _ in range(4):
        log.publish(update)
    assert (log.lost, log.problem) == (9, "the prediction log's disk is too slow")
    log.close()
    assert (log.written, len(rows(tmp_path))) == (6, 6)


def test_what_cannot_be_logged_does_not_end_the_inference_loop(serving: Served, logged: Logged) -> None:
    log = logged(serving)
    serving.at += 1
    serving.put()
    update = serving.cycle()
    log.publish(replace(update, values={"OTHER:PV": update.values["B1:FAULT"]}))
    assert (log.lost, log.problem) == (1, "the prediction log cannot be written: KeyError: 'OTHER:PV'")
    log.publish(update)
    log.close()
    assert (log.written, log.problem) == (3, "")


def test_a_problem_is_in_the_service_s_own_log_once_a_minute(
    serving: Served, logged: Logged, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log").write_text("a file")
    log = logged(serving)
    for _ in range(3):
        serving.put()
        log.publish(serving.cycle(after=1))
        log._write()
        log._settle()
    assert len([record for record in caplog.records if "cannot be written: not a directory" in record.message]) == 1


def test_a_file_that_somebody_removed_is_begun_again(serving: Served, logged: Logged, tmp_path: Path) -> None:
    log = logged(serving)
    for _ in range(2):
        serving.put(device="B1")
        log.publish(serving.cycle(after=1))
        log._write()
        log._settle()
        for file in tmp_path.rglob("*.arrow"):
            file.unlink()
    serving.put(device="B1")
    log.publish(serving.cycle(after=1))
    log.close()
    assert len(rows(tmp_path)) == 1


def test_a_file_that_cannot_be_looked_at_is_begun_again(
    serving: Served, logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its handle is stale, as NFS says it once."""
    log, stale, look = logged(serving), list[int](), os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        if descriptor in stale:
            stale.clear()  # the next file has the same number
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return look(descriptor)

    monkeypatch.setattr(stream.os, "fstat", fstat)
    for after in (1, 2):
        serving.put(device="B1")
        log.publish(serving.cycle(after=after))
        log._write()
        log._settle()
        stale += [log._stream._descriptor] if after == 1 else []  # pyright: ignore[reportOptionalMemberAccess]
    log.close()
    assert (log.written, log.lost, len(rows(tmp_path))) == (2, 0, 2)
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_a_log_that_cannot_be_begun_is_said_and_tried_again(serving: Served, logged: Logged, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    log = logged(serving)
    for lost in (3, 6):
        serving.put()
        log.publish(serving.cycle(after=1))
        log._write()
        log._settle()
        assert (log.lost, log.written) == (lost, 0)
        assert log.problem == f"the prediction log cannot be written: not a directory: {tmp_path}/log/toy-model/3"
    (tmp_path / "log").unlink()
    serving.put()
    log.publish(serving.cycle(after=1))
    log.close()
    assert (log.written, log.problem) == (3, "")


def test_the_writer_writes_by_itself(serving: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prediction_log.EVERY < 1  # the last second is what a kill may cost
    monkeypatch.setattr(prediction_log, "EVERY", 0.01)
    log = PredictionLog(tmp_path / "log", "toy-model", 3, serving.loop.wiring)
    serving.put()
    log.publish(serving.cycle(after=1))
    while not log.written:
        assert not log.problem
    (file,) = tmp_path.rglob(f"*{stream.OPEN}")
    assert sum(batch.num_rows for batch in stream.read_batches(file)) == 3
    log.close()


def test_rows_do_not_wait_while_a_full_file_is_closed(
    serving: Served, logged: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill would cost them: what is converted has its rows on the disk, and those that follow would not."""
    log, closed, go_on = logged(serving), threading.Event(), threading.Event()
    log._settle()

    def close_slowly(folder: Path) -> None:
        stream.close_left(folder)
        closed.set()
        assert go_on.wait(20)

    monkeypatch.setattr(prediction_log, "close_left", close_slowly)
    for after in (1, 3600, 1, 3600):
        serving.put()
        log.publish(serving.cycle(after=after))
        log._write()
        assert after == 1 or closed.wait(20)
    assert log.written == 12
    assert not go_on.is_set()
    go_on.set()
    log._settle()
    assert len(list(tmp_path.rglob("*.arrow"))) == 1, "also what was let go while another one was closed"
    log.close()
