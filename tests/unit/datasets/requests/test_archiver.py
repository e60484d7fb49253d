"""An archiver that is busy, slow, cut off or wrong is retried within limits, and pieces that have arrived are kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.errors import BadInput, Outside
from beampermit.project import Project
from support.archiver import Archiver, Fault, busy, forbidden, hang, reset, sample, saying
from support.data_requests import AT, Ask
from support.forked_commands import beampermit

pytestmark = pytest.mark.slow

CUT = b'[{"meta": {"name": "BEAM:CURRENT", "EGU": "mA"}, "data": [{"secs": 1772348400, "na'
WRONG = {
    "nothing": b"",
    "cut off": CUT,
    "a page": b"<html>maintenance</html>",
    "another thing": b'{"status": "ok"}',
    "no list": b'[{"meta": {}, "data": 5}]',
    "no times": b'[{"meta": {}, "data": [{"val": 1.0}]}]',
    "a time no clock has": b'[{"meta": {}, "data": [{"secs": 1, "nanos": 5000000000, "val": 1.0}]}]',
    "two PVs": b'[{"meta": {}, "data": []}, {"meta": {}, "data": []}]',
}


@pytest.mark.parametrize("fault", [busy, hang, reset, saying(CUT)], ids=["busy", "hangs", "resets", "cuts off"])
def test_an_archiver_that_fails_twice_is_retried(
    ask_archiver: Ask, sound: Archiver, project: Project, fault: Fault
) -> None:
    sound.faults = [fault, fault]
    assert ask_archiver(options={"at_once": 1}).sidecar["rows"] == 10
    assert sum(sound.asked.values()) == 4


def test_the_protocol_that_the_service_reads_by_is_no_part_of_the_archived_name(
    ask_archiver: Ask, sound: Archiver
) -> None:
    signals = [{"name": "current", "pv": "ca://BEAM:CURRENT", "unit": "mA", "range": [0, 500]}]
    assert ask_archiver(signals=signals).sidecar["rows"] == 10


@pytest.mark.parametrize("fault", [busy, hang, reset], ids=["busy", "hangs", "resets"])
def test_an_archiver_that_keeps_failing_is_the_outside_world(
    ask_archiver: Ask, sound: Archiver, project: Project, fault: Fault
) -> None:
    sound.always = fault
    with pytest.raises(Outside, match=r"does not return .* \(2 attempts; ") as caught:
        ask_archiver(options={"tries": 2})
    assert caught.value.exit_code == 4
    assert not (project.root / "data/raw.parquet").exists()


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_an_invalid_answer_is_never_used(ask_archiver: Ask, sound: Archiver, body: bytes) -> None:
    sound.always = saying(body)
    with pytest.raises(Outside, match="does not return"):
        ask_archiver(options={"tries": 2})


def test_an_archiver_that_refuses_is_not_retried(ask_archiver: Ask, sound: Archiver) -> None:
    sound.always = forbidden
    with pytest.raises(Outside, match="status 403"):
        ask_archiver(options={"at_once": 1})
    assert sum(sound.asked.values()) == 1


def test_an_address_without_an_archiver_is_bad_input(ask_archiver: Ask, archiver: Archiver) -> None:
    with pytest.raises(BadInput, match=r"returns status 404 for .* or there is no archiver at this address"):
        ask_archiver(options={"url": f"{archiver.url}/elsewhere"})


def test_no_server_at_the_address_is_the_outside_world(ask_archiver: Ask, archiver: Archiver) -> None:
    with pytest.raises(Outside, match="does not return"):
        ask_archiver(options={"url": "http://127.0.0.1:9", "tries": 2})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "archiver.lab"}, "options.url: expected an address"),
        ({"url": "http://ada:secret@archiver.lab"}, "must not contain a password"),
        ({"tryes": 3}, "options.tryes: unknown key; did you mean 'tries'?"),
        ({"at_once": 1000}, "options.at_once"),
    ],
)
def test_wrong_options_are_named(ask_archiver: Ask, options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words.replace("?", r"\?")):
        ask_archiver(options=options)


def test_fetched_pieces_are_not_fetched_again(ask_archiver: Ask, sound: Archiver, project: Project) -> None:
    sound.faults = [lambda _: False, lambda _: False, *[forbidden] * 2]
    with pytest.raises(Outside):
        ask_archiver(options={"at_once": 1, "piece": "5s"})
    sound.faults = []
    ask_archiver(options={"at_once": 1, "piece": "5s"})
    assert sum(sound.asked.values()) == 5
    assert not list((project.root / ".beampermit/requests").glob("*/samples/*"))


def test_a_killed_request_resumes(
    ask_archiver: Ask, asking: Callable[..., Project], sound: Archiver, project: Project
) -> None:
    """Killed while the second PV is waited for; the first is not asked for again, and the bytes are the same."""
    ask_archiver(options={"at_once": 1, "timeout": 30})
    whole = (project.root / "data/raw.parquet").read_bytes()
    (project.root / "data/raw.parquet").unlink()
    sound.asked.clear()
    waiting = []
    sound.faults = [lambda _: False, lambda handler: waiting.append(time.sleep(5)) or True]
    command = [sys.executable, "-m", "beampermit.cli.main", "data", "request"]
    child = subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 60
    while sum(sound.asked.values()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert not (project.root / "data/raw.parquet").exists()
    again = beampermit("data", "request", "--json", cwd=project.root)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["sidecar"]["rows"] == 10
    assert sorted(sound.asked.values()) == [1, 2]
    assert (project.root / "data/raw.parquet").read_bytes() == whole


def test_a_large_answer_is_refused_with_the_fix(
    ask_archiver: Ask, sound: Archiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from beampermit.datasets.requests import archiver as source

    monkeypatch.setattr(source, "LARGEST", 200)
    with pytest.raises(Outside, match="is larger than") as caught:
        ask_archiver()
    assert caught.value.hint == "shorten dataset.request.options.piece"


def test_slow_answers_arrive(ask_archiver: Ask, sound: Archiver) -> None:
    sound.add("BEAM:CURRENT", [sample(AT + n / 1000, n) for n in range(10_000)], "mA")
    sound.faults = [lambda _: bool(time.sleep(0.2))] * 2
    assert ask_archiver().sidecar["counts"]["samples"] == 10_000
