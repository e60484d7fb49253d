"""The service's log: one line an event, which nobody has to wait for, and no terminal obeys."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TextIO

import pytest

from beampermit.live.epics.puts import Put, _log
from beampermit.live.observation import journal as journal_module
from beampermit.live.observation.changes import Changes
from beampermit.live.observation.journal import EVERY, MOST, MOST_WAITING, Bounded, Form, Journal, start_journal
from support.served import Serve, Served

logger = logging.getLogger("beampermit.tests")
HOSTILE = "B1\x1b[2J\nERROR: \u202egone"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("beampermit")
    handlers, levels, hook = list(root.handlers), (root.level, ours.level), threading.excepthook
    yield
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    threading.excepthook = hook


def written(journal: Journal, stream: io.StringIO) -> list[str]:
    journal.flush()
    return stream.getvalue().splitlines()


def started(form: Form | None) -> tuple[Journal, io.StringIO]:
    stream = io.StringIO()
    return start_journal(form, stream), stream


def test_a_line_of_json_has_message_fields_and_hint() -> None:
    journal, stream = started(None)  # no terminal
    logger.info("version %s serves", 4, extra={"fields": {"version": 4}, "hint": "beampermit history"})
    logger.debug("nothing of interest")
    logging.getLogger("library").info("nothing of interest")
    (line,) = map(json.loads, written(journal, stream))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "message": "version 4 serves",
        "logger": "beampermit.tests",
        "version": 4,
        "hint": "beampermit history",
    }


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_of_text_is_for_people() -> None:
    stream = Terminal()
    journal = start_journal(stream=stream)
    logger.info("version 4 serves")
    logger.warning("no challenger", extra={"hint": "beampermit history"})
    lines = written(journal, stream)
    assert [line[8:] for line in lines[:2]] == [" version 4 serves", " WARNING: no challenger"]
    assert lines[2:] == ["         next: beampermit history"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_text_of_others_is_one_line_that_nothing_obeys(form: Form) -> None:
    journal, stream = started(form)
    logger.warning("%s", HOSTILE, extra={"fields": {"reason": HOSTILE}})
    (line,) = written(journal, stream)
    assert line.isprintable()
    if form == "json":
        assert json.loads(line)["reason"] == HOSTILE


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_error_of_ours_has_its_traceback(form: Form) -> None:
    journal, stream = started(form)
    try:
        float(HOSTILE)
    except ValueError:
        logger.exception("a cycle failed")
    lines = written(journal, stream)
    assert all(line.isprintable() for line in lines)
    assert "Traceback" in stream.getvalue()
    assert len(lines) == 1 or form == "text"


def test_a_thread_that_ends_by_an_error_is_logged() -> None:
    journal, stream = started("json")
    thread = threading.Thread(target=lambda: {}["loop"], name="version 3")  # pyright: ignore
    thread.start()
    thread.join(20)
    (line,) = map(json.loads, written(journal, stream))
    assert line["message"] == "version 3 ended by an error"
    assert "KeyError: 'loop'" in line["traceback"]


def test_starting_again_does_not_write_twice() -> None:
    started("json")
    journal, stream = started("json")
    logger.info("once")
    assert len(written(journal, stream)) == 1
    assert sum(isinstance(handler, Journal) for handler in logging.getLogger().handlers) == 1


def line(message: str, name: str = "beampermit.tests") -> Any:
    return logging.LogRecord(name, logging.INFO, __file__, 1, message, (), None)


def test_lines_of_a_kind_are_bounded_and_what_was_left_out_is_told() -> None:
    clock = [0.0]
    bounded = Bounded(lambda: clock[0])
    assert [bounded.filter(line("flood")) for _ in range(MOST + 3)] == [*[True] * MOST, *[False] * 3]
    assert bounded.filter(line("another kind"))
    clock[0] = EVERY
    late = line("flood")
    assert bounded.filter(late)
    assert late.left_out == 3


def test_all_writes_of_clients_are_kept() -> None:
    bounded = Bounded(lambda: 0.0)
    assert all(bounded.filter(line("put", "beampermit.puts")) for _ in range(10 * MOST))


def test_a_change_of_status_is_never_left_out_and_only_repeats_of_its_reasons_are(serving: Served) -> None:
    journal, stream = started("json")
    sink, others = Changes(), ("is NaN", "is disconnected")

    def publish(**say: Any) -> None:
        sink.publish(replace(update, health=replace(update.health, **say)))

    update = serving.cycle()
    for _ in range(MOST + 3):
        for reason in others:
            publish(status="DEGRADED", reason=reason)
    for _ in range(MOST):
        publish(status="INVALID", reason="no beam")
        publish(status="SERVING", reason="")
    statuses = [json.loads(line)["status"] for line in written(journal, stream)]
    assert statuses.count("DEGRADED") == 1 + MOST
    assert statuses.count("INVALID") == statuses.count("SERVING") == MOST
    publish(status="DEGRADED", reason="")
    assert json.loads(written(journal, stream)[-1])["before"] == "SERVING"


def test_a_write_of_a_client_has_its_parts_as_keys() -> None:
    journal, stream = started("json")
    _log(Put("ada", "10.0.0.5", "B1:FAULT", "HIHI", 90.0, 80.0), refused="")
    (line,) = map(json.loads, written(journal, stream))
    assert (line["put"], line["user"], line["host"]) == ("accepted", "ada", "10.0.0.5")
    assert (line["pv"], line["field"], line["old"], line["new"]) == ("B1:FAULT", "HIHI", 90.0, 80.0)


def test_what_was_left_out_stands_in_the_line() -> None:
    texts: dict[Form, str] = {"json": '"left_out": 3', "text": "(3 such lines were left out)"}
    for form, said in texts.items():
        journal, stream = started(form)
        record = line("flood")
        record.left_out = 3
        journal.emit(record)
        assert said in written(journal, stream)[0]


@contextmanager
def unread(form: Form = "json") -> Iterator[tuple[Journal, Callable[[], list[str]]]]:
    """A journal whose reader stands still, and what reads all of it at last."""
    read, write = os.pipe()
    with os.fdopen(read), os.fdopen(write, "w") as stream:
        journal = Journal(stream, form)
        fill(stream)
        journal.emit(line("the first"))
        until = time.monotonic() + 20
        while journal._lines.qsize() and time.monotonic() < until:
            time.sleep(0.001)  # it is with the thread that writes

        def written() -> list[str]:
            os.set_blocking(read, False)
            text = b""
            while True:
                waiting = journal._lines.unfinished_tasks
                try:
                    text += os.read(read, 2**16)
                except BlockingIOError:
                    if not waiting:
                        return text.decode().lstrip("x").splitlines()

        try:
            yield journal, written
        finally:
            written()  # else the thread that writes never lets go of the stream


def test_nobody_waits_for_a_pipe_that_is_full_and_what_is_lost_is_said() -> None:
    with unread() as (journal, written):
        for number in range(MOST_WAITING + 10):
            journal.emit(line(str(number)))
        assert journal.lost == 10
        lines = [json.loads(each) for each in written()]
        assert [each["message"] for each in lines] == ["the first", *map(str, range(MOST_WAITING))]
        assert not any("lost" in each for each in lines)
        for message in ("later", "later still"):
            journal.emit(line(message))
        assert [json.loads(each).get("lost") for each in written()] == [10, None]


def test_writes_of_clients_and_changes_of_status_are_kept_where_others_find_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal_module, "MOST_KEPT_WAITING", MOST_WAITING + 6)
    change = line("SERVING")
    change.always = True
    with unread("text") as (journal, written):
        for number in range(MOST_WAITING + 3):
            journal.emit(line(str(number)))
        for number in range(5):
            journal.emit(line(f"put {number}", "beampermit.puts"))
        journal.emit(change)
        assert journal.lost == 3
        journal.emit(line("put 5", "beampermit.puts"))
        assert journal.lost == 4, "a reader that never comes does not fill the memory"
        said = [each[9:] for each in written()][-6:]
    assert said == [
        "put 0 (3 lines before this one were lost: nobody read them)",
        *(f"put {number}" for number in range(1, 5)),
        "SERVING",
    ]


def fill(stream: TextIO) -> None:
    os.set_blocking(stream.fileno(), False)
    try:
        while True:
            os.write(stream.fileno(), b"x" * 2**12)
    except BlockingIOError:
        os.set_blocking(stream.fileno(), True)


def test_a_reader_that_has_gone_costs_lines_alone() -> None:
    stream = io.StringIO()
    journal = Journal(stream, "text")
    stream.close()
    journal.emit(line("nobody reads this"))
    journal.flush()
    assert journal.lost == 1


def test_a_change_of_status_or_reason_is_logged_once(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "beampermit")
    served, sink = serve(), Changes()

    def logged() -> list[str]:
        """By one cycle."""
        caplog.clear()
        sink.publish(served.cycle())
        return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]

    assert logged() == ["INFO STARTING: B1:TBT has sent nothing yet (6 of 6 outputs)"]
    served.put()
    served.current()
    assert logged() == ["INFO SERVING"]
    assert logged() == []
    served.put([0.0, 0.0, 21.5], device="B2")
    said = logged()
    assert said == ["WARNING DEGRADED: B2:TBT is 21.5, outside its range [-20, 20] (2 of 6 outputs)"]
    assert vars(caplog.records[0])["fields"]["before"] == "SERVING"
    served.put([0.0, 0.0, 22.5], device="B2")
    assert logged() == []
    served.put([0.0, 0.0, 22.5])
    assert logged()[0].startswith("ERROR INVALID: B1:TBT is 22.5, outside its range")
    served.put()
    assert logged() == ["INFO SERVING"]
