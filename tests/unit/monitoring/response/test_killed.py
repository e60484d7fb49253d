"""A monitor is killed at each step of a response, by SIGKILL: the next run finishes it, and nothing is there twice.

How a fall-back in the ledger is finished is in `test_fall_back_without_a_checkout.py`.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.monitoring.response.candidates import load_candidate, stored
from beampermit.monitoring.response.journal import load_journal
from beampermit.monitoring.response.logbook import FileLogbook
from beampermit.monitoring.response.proposals import NewLimits
from beampermit.monitoring.response.webhook import Webhook
from support.forked_pythons import forked
from support.killed_responses import KILLS
from support.responses import HOUR, NOW, Receiver, Responding, trip

Respond = Callable[..., Responding]
pytestmark = pytest.mark.slow
RESPONDS = """
import json
from pathlib import Path

from beampermit.contract import Contract
from beampermit.documents.alarm_texts import AlarmTexts
from beampermit.github.client import Client
from beampermit.monitoring.response.kept import opened
from beampermit.monitoring.response.logbook import FileLogbook
from beampermit.monitoring.response.proposals import NewLimits
from beampermit.monitoring.response.respond import Outlets, Responder
from beampermit.monitoring.response.webhook import Webhook
from beampermit.verdicts.monitoring import Trip

given = json.loads(sys.argv[2])
begin()
at = given["at"]
outlets = Outlets(
    AlarmTexts,
    client=Client(given["repository"], "s3cret", api=given["api"]),
    log=Path(given["log"]),
    webhook=Webhook(given["webhook"]),
    logbook=FileLogbook(given["book"]),
    new_limits=lambda _: NewLimits(given["limits"], "From 4 weeks."),
)
with opened(Path(given["folder"])) as kept:
    responder = Responder(kept, outlets, Contract.model_validate_json(given["contract"]), clock=lambda: at)
    for trips in given["story"]:
        at += given["every"]
        responder.take([Trip.model_validate(one) for one in trips])
        responder.work()
"""
NEEDS = (
    "beampermit.documents.alarm_texts", "beampermit.live.log.reading", "beampermit.monitoring.response.respond",
    "duckdb", "httpx", "pyarrow.parquet",
)  # fmt: skip
LIMITS = {"metrics/calibration.json": '{"format": 1}\n'}


TOLD = 10
"""Steps after which people have been told of the first trip, or are about to be."""


def in_window(**more: Any) -> Any:
    one = trip(**more)
    return one.model_copy(update={"window": one.window.model_copy(update={"since": NOW, "until": NOW + HOUR + 2})})


@pytest.mark.parametrize(("on_trip", "first"), [("propose-limits", 0), ("retrain", TOLD)])
def test_what_a_killed_monitor_began_is_finished_and_there_once(
    responding: Respond, receiver: Receiver, log: Path, tmp_path: Path, on_trip: str, first: int
) -> None:
    book = tmp_path / "book.md"
    outlets = {"webhook": Webhook(receiver.url), "logbook": FileLogbook(str(book)), "log": log}
    new = {"new_limits": lambda _: NewLimits(LIMITS, "From 4 weeks.")}
    monitor = responding(on_trip=on_trip, outlets={**outlets, **new})
    story = ([in_window()], [in_window(level="MAJOR")], [in_window(level="MAJOR", cleared=True)], [])
    given = {
        "at": NOW, "every": HOUR, "api": monitor.github.url, "repository": monitor.github.repository,
        "log": str(log), "webhook": receiver.url, "book": str(book), "folder": str(monitor.folder),
        "limits": LIMITS, "contract": monitor.contract.model_dump_json(exclude_none=True),
        "story": [[one.model_dump(mode="json") for one in trips] for trips in story],
    }  # fmt: skip
    steps = first
    while True:
        monitor.stack.close()
        code, _, err = forked(KILLS + RESPONDS, steps, json.dumps(given), needs=NEEDS).finish()
        assert code in (0, -signal.SIGKILL), err
        assert steps > first or not monitor.github.dispatched
        noted = load_journal(monitor.folder).proposals
        monitor.at = NOW
        monitor.start()
        for trips in story:  # the monitor tells again what it told before it died
            monitor.work(*trips, after=HOUR)
        monitor.work(after=HOUR)
        said = f"killed at step {steps}"
        assert (monitor.states, len(monitor.said)) == (["closed"], 2), said
        (candidate,) = (monitor.folder / "candidates").iterdir()
        assert [load_candidate(one).rows for one in stored(candidate.parent)] == [9], said
        assert len(load_candidate(candidate).trips) == 2, said
        assert len(monitor.github.dispatched) == (on_trip == "retrain"), said
        assert len(monitor.github.pulls) == (on_trip == "propose-limits"), said
        assert len(monitor.github.branches) == 1 + len(monitor.github.pulls), said
        assert book.read_text().count("\n## ") == 3, said
        assert len({one["id"] for one in receiver.got}) == 3, said
        assert len(receiver.got) <= 4  # a receiver may hear of one thing twice, with one id
        assert monitor.journal.tasks == (), said
        if code == 0 or (first and noted):  # what comes before and after has been seen with the other proposal
            break
        steps += 1
        _forget(monitor, receiver, book)
    assert steps > (first + 2 if first else 30)


def _forget(monitor: Responding, receiver: Receiver, book: Path) -> None:
    """As if nothing had happened."""
    monitor.stack.close()
    shutil.rmtree(monitor.folder)
    github = monitor.github
    for kept in (github.issues, github.comments, github.runs, github.pulls, github.trees, github.commits):
        kept.clear()
    github.dispatched.clear()
    receiver.got.clear()
    github.branches = {"main": "0" * 40}
    book.unlink()
