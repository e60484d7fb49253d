"""Each step of a response is done once, whatever fails on the way; what is killed is in `test_killed.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path

import pytest

from beampermit.alarm_outlets import load_logbook
from beampermit.documents.alarm_texts import AlarmTexts
from beampermit.errors import BadInput, Conflict, Outside
from beampermit.monitoring.response.journal import load_journal
from beampermit.monitoring.response.kept import opened
from beampermit.monitoring.response.logbook import Entry, FileLogbook
from beampermit.monitoring.response.respond import Outlets, Responder
from beampermit.monitoring.response.webhook import Webhook, body_of
from support.responses import DAY, HOUR, NOW, Receiver, Responding, result, trip

Respond = Callable[..., Responding]


def test_a_trip_that_is_told_again_is_answered_once(responding: Respond, receiver: Receiver) -> None:
    monitor = responding(outlets={"webhook": Webhook(receiver.url)})
    for _ in range(3):
        monitor.work(trip(), after=60)
        monitor.start()
    assert len(receiver.got) == 1
    monitor.work(trip(cleared=True))
    monitor.work(trip(), trip(cleared=True), after=60)
    assert [one["event"] for one in receiver.got] == ["raised", "cleared"]


def test_two_at_once_on_one_folder_are_refused(responding: Respond) -> None:
    monitor = responding()
    failures: list[BaseException] = []

    def second() -> None:
        try:
            with opened(monitor.folder):
                pass
        except Conflict as error:
            failures.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
    assert "another process responds to the alarms in" in str(failures[0])


@pytest.mark.slow
def test_after_a_restart_the_contract_that_was_judged_by_last_still_says_whom_to_tell(responding: Respond) -> None:
    """Nobody vouches for any version any more, so the monitor knows no other."""
    monitor, other = responding(), responding(folder="other")
    unvouched = trip("MON008", "permit", level="INVALID", version=4)
    for one in (monitor, other):
        responder = Responder(one.kept, one.outlets, clock=lambda: NOW)
        if one is monitor:
            responder.take((), None, monitor.contract)
            responder = Responder(one.kept, one.outlets, clock=lambda: NOW)
        responder.take([unvouched], result(NOW))
        responder.work()
    titles = [issue["title"] for issue in monitor.github.issues.values()]
    assert titles == ["bpm-faults: The monitor cannot judge of permit (MON008)", "Monitor of bpm-faults"]
    (monitor.folder / "contract.json").write_text("{}")
    assert Responder(monitor.kept, monitor.outlets).contract is None, "that of another Beampermit is none"


def test_a_damaged_journal_is_said_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "response.json").write_text('{"format": 1, "alarms": 7}')
    with pytest.raises(BadInput, match=r"response.json: not a journal of responses: alarms: Input should be"):
        load_journal(tmp_path)


@pytest.mark.slow
def test_what_waits_for_an_outlet_that_this_run_lacks_is_done_by_a_later_one(
    responding: Respond, receiver: Receiver, tmp_path: Path
) -> None:
    """Such as `beampermit respond` by hand, or a restart, without `--log`, `--logbook`, webhook and token."""
    book = tmp_path / "book.md"
    outlets = {"webhook": Webhook(receiver.url), "logbook": FileLogbook(str(book)), "log": tmp_path}
    monitor = responding(on_trip="retrain", outlets=outlets)
    monitor.responder.take([trip()])
    whole, monitor.outlets = monitor.outlets, Outlets(AlarmTexts)
    monitor.start()
    monitor.responder.hurry()
    journal = monitor.work(after=DAY - 1)
    assert [(task.kind, task.error) for task in journal.tasks] == [
        ("candidate", "there is no prediction log"),
        ("logbook", "no logbook is set"),
        ("webhook", "no webhook is set"),
        ("retrain", "no GitHub is known"),
    ]
    monitor.outlets = whole
    monitor.start()
    assert monitor.work(after=1).tasks == ()
    assert (len(receiver.got), book.read_text().count("\n## "), len(monitor.github.dispatched)) == (1, 1, 1)


def test_what_waits_for_an_outlet_is_given_up_after_a_day(responding: Respond, tmp_path: Path) -> None:
    monitor = responding(outlets={"logbook": FileLogbook(str(tmp_path / "book.md"))})
    monitor.responder.take([trip()])
    monitor.outlets = Outlets(AlarmTexts)
    monitor.start()
    assert len(monitor.work(after=DAY).tasks) == 1
    journal = monitor.work(after=1)
    assert journal.tasks == ()
    assert any("given up: no logbook is set" in line for line in journal.log)


@pytest.mark.parametrize("content", ["", '{"format": 1, "alarms": 7}', "\0"], ids=["empty", "wrong", "zero"])
def test_a_monitor_with_a_damaged_journal_starts_anew_and_keeps_it(
    responding: Respond, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    monitor = responding()
    monitor.work(trip())
    (monitor.folder / "response.json").write_text(content)
    monitor.start()
    assert "what it had begun is not finished" in caplog.text
    assert (monitor.folder / "response.json.damaged").read_text() == content
    monitor.work(trip())
    assert monitor.states == ["open"], "its issue is found again"


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [True, False])
def test_a_flood_of_alarms_is_no_flood_of_entries_and_posts(
    responding: Respond, receiver: Receiver, tmp_path: Path, at_once: bool
) -> None:
    book = tmp_path / "book.md"
    monitor = responding(outlets={"webhook": Webhook(receiver.url), "logbook": FileLogbook(str(book))})
    flood = [trip(subject=f"x{number}") for number in range(60 if at_once else 8)]
    for trips in [flood] if at_once else [[one] for one in flood]:
        monitor.work(*trips)
    assert (book.read_text().count("\n## "), len(receiver.got)) == (6, 6)
    assert receiver.got[-1]["alarms"] == (60 if at_once else 6)
    assert f"{60 if at_once else 6} alarms are on at once: not each of them has an entry." in book.read_text()
    assert monitor.journal.tasks == ()
    monitor.work(*[trip(subject=f"x{number}", cleared=True) for number in range(len(flood))], after=60)
    assert (book.read_text().count("cleared:"), len(receiver.got)) == (6, 12)
    monitor.work(trip(subject="x7", since=NOW + 120), after=60)
    assert (book.read_text().count("\n## "), len(receiver.got)) == (13, 13), "the flood is over"


def test_without_github_an_alarm_that_is_long_over_is_forgotten(responding: Respond) -> None:
    monitor = responding(outlets={"client": None})
    monitor.work(trip())
    monitor.work(trip(cleared=True), after=60)
    assert len(monitor.work(after=DAY - 1).alarms) == 1
    assert monitor.work(after=1).alarms == ()


# The webhook


def test_a_webhook_gets_what_happened_and_its_secret(receiver: Receiver) -> None:
    hook = Webhook.of_environment(
        {"BEAMPERMIT_WEBHOOK": receiver.url, "BEAMPERMIT_WEBHOOK_HEADER": "Authorization: Bearer hunter2"}
    )
    assert hook is not None
    hook.send(trip(level="MAJOR"))
    (got,) = receiver.got
    assert got["text"] == (
        "bpm-faults MAJOR: An input's distribution differs from the reference of turns.std (0.42, limit 0.25)"
    )
    assert (got["event"], got["since"], got["value"], got["limit"]) == ("raised", "2027-01-15T08:00:00Z", 0.42, 0.25)
    assert receiver.headers[0]["authorization"] == "Bearer hunter2"
    assert receiver.headers[0]["idempotency-key"] == got["id"] == body_of(trip(level="MAJOR"))["id"]
    assert "hunter2" not in repr(hook)
    assert "hook" not in repr(hook).replace("Webhook", "")


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500])
def test_a_webhook_that_is_refused_is_sent_again_later(responding: Respond, receiver: Receiver, status: int) -> None:
    monitor = responding(outlets={"webhook": Webhook(receiver.url)})
    receiver.status = status
    journal = monitor.work(trip())
    assert [(task.kind, task.tries, task.error) for task in journal.tasks] == [
        ("webhook", 1, f"the webhook answers with {status}")
    ]
    monitor.work(after=59)
    assert len(receiver.got) == 1
    receiver.status = 200
    assert monitor.work(after=1).tasks == ()
    assert len(receiver.got) == 2


@pytest.mark.parametrize(
    ("status", "retry_after", "wait"),
    [
        (429, "300", 300),
        (503, "300", 300),
        (429, "5", 60),  # not before the time of any other failure
        (503, "86400", 3600),
        (429, 600, 600),
        (429, -600, 60),
        (429, "soon", 60),
        (500, "300", 60),
    ],
)
def test_a_webhook_is_sent_again_when_its_server_asks_to(
    responding: Respond, receiver: Receiver, status: int, retry_after: str | int, wait: float
) -> None:
    """All alarms wait; at most an hour, as after any other failure. A number here is a date, s from now."""
    monitor = responding(outlets={"webhook": Webhook(receiver.url)})
    date = isinstance(retry_after, int)
    receiver.status, receiver.retry_after = status, formatdate(time.time() + retry_after) if date else retry_after
    journal = monitor.work(trip(), trip(subject="current"))
    assert [task.due - NOW for task in journal.tasks] == pytest.approx([wait] * 2, abs=60 if wait == 600 else 0)
    assert len(receiver.got) == 1


@pytest.mark.slow
def test_a_webhook_that_hangs_holds_nobody(responding: Respond, receiver: Receiver) -> None:
    monitor = responding(outlets={"webhook": Webhook(receiver.url, seconds=0.5)})
    receiver.hangs = 1.0
    began = time.monotonic()
    journal = monitor.work(*[trip(subject=f"input-{number}") for number in range(50)])
    assert time.monotonic() - began < 20  # one is waited for, and not each of fifty
    assert len(receiver.got) == 1
    assert {task.due for task in journal.tasks} == {NOW + 60}
    assert len(monitor.github.issues) == 6


def test_a_webhook_that_never_answers_is_given_up_after_a_day(responding: Respond) -> None:
    monitor = responding(outlets={"webhook": Webhook("http://127.0.0.1:9/")})
    journal = monitor.work(trip())
    for hours in (1, 1, 24, 1):
        journal = monitor.work(after=hours * HOUR)
    assert journal.tasks == ()
    assert any("given up: the webhook cannot be reached: ConnectError" in line for line in journal.log)


@pytest.mark.parametrize(
    ("address", "header", "words"),
    [
        ("ftp://lab.example", "", "BEAMPERMIT_WEBHOOK is not an http or https URL"),
        ("http://[::1", "", "BEAMPERMIT_WEBHOOK is not an http or https URL"),
        ("https://lab.example", "hunter2", "BEAMPERMIT_WEBHOOK_HEADER is not a header"),
        ("https://lab.example", "A: b\r\nC: hunter2", "BEAMPERMIT_WEBHOOK_HEADER is not a header"),
    ],
)
def test_a_wrong_webhook_is_refused_at_the_start_and_not_shown(address: str, header: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as refused:
        Webhook.of_environment({"BEAMPERMIT_WEBHOOK": address, "BEAMPERMIT_WEBHOOK_HEADER": header})
    assert "hunter2" not in str(refused.value)


# The logbook


def test_a_logbook_of_a_laboratory_that_raises_anything_does_not_end_the_monitor(responding: Respond) -> None:
    class Broken:
        def __init__(self, where: str) -> None: ...

        def write(self, entry: Entry) -> str:
            raise RuntimeError("elog is down")

    journal = responding(outlets={"logbook": Broken("")}).work(trip())
    assert journal.tasks[0].error == "the logbook failed: RuntimeError: elog is down"


def test_a_logbook_that_hangs_holds_nobody_and_is_asked_again_when_it_has_ended(
    responding: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, entries = threading.Event(), list[str]()

    class Hanging:
        def __init__(self, where: str) -> None: ...

        def write(self, entry: Entry) -> str:
            entries.append(entry.id)
            ends.wait(20)
            return "written"

    monitor = responding(outlets={"logbook": Hanging("")})
    assert monitor.outlets.book is not None
    monkeypatch.setattr(monitor.outlets.book, "_seconds", 0.2)
    journal = monitor.work(trip(), trip(subject="x"))
    assert journal.tasks[0].error == "the logbook did not answer within 0.2 s"
    assert (len(entries), len(monitor.github.issues)) == (1, 2)
    assert monitor.work(after=60).tasks[0].error == "the logbook still hangs with an entry"
    ends.set()
    (thread,) = [one for one in threading.enumerate() if one.name == "logbook"] or [None]
    if thread:
        thread.join()
    assert monitor.work(after=HOUR).tasks == ()
    assert len(set(entries)) == 2


@pytest.mark.slow
def test_an_entry_says_what_to_do_and_is_there_once(responding: Respond, tmp_path: Path) -> None:
    file = tmp_path / "books/ring.md"
    monitor = responding(outlets={"logbook": load_logbook(f"file:{file}")})
    monitor.work(trip())
    (monitor.folder / "response.json").unlink()
    monitor.start()
    monitor.work(trip())
    text = file.read_text()
    assert text.count("\n## ") == 1
    assert "MINOR bpm-faults MINOR: An input's distribution differs from the reference of turns.std (MON001)" in text
    assert "- Tell the maintainer.\nOn call: +1 555 0100" in text


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("elog:https://x", "there is no logbook 'elog'.* did you mean 'olog'"),
        ("fil:/x", "did you mean 'file'"),
        ("file:", "needs the path of a file"),
        ("File", "is not NAME:WHERE"),
    ],
)
def test_a_wrong_logbook_is_refused(choice: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        load_logbook(choice)


def test_a_logbook_that_cannot_be_written_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Outside, match=r"file/book\.md: the logbook cannot be written"):
        load_logbook(f"file:{tmp_path}/file/book.md").write(
            Entry("id", datetime.now(UTC), "title", "text", "MINOR", "bpm-faults")
        )
