"""The program that answers one question about a registry."""

from __future__ import annotations

import json
import os
from io import StringIO

import pytest

from beampermit.registry import answering


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What it does, in this order."""
    done: list[str] = []

    class Request(StringIO):
        def read(self, size: int | None = -1, /) -> str:
            done.append("read")
            return super().read(size)

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(answering, "hide_memory", lambda: done.append("hidden"))
    monkeypatch.setattr(answering, "import_ahead", lambda: done.append("imported"))
    question = {"model": "bpm-faults", "address": "https://registry.lab.example", "alias": "challenger"}
    monkeypatch.setattr("sys.stdin", Request(json.dumps({**question, "folder": os.curdir, "variables": {}})))
    return done


def test_it_hides_before_it_reads_what_logs_in(in_this_process: list[str]) -> None:
    answering.main()
    assert in_this_process == ["hidden", "imported", "read"]


def test_it_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    answering.main()
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"] == "MLFLOW_TRACKING_URI is not set, so it is not known which registry is meant"
    assert answer["hint"] == "export MLFLOW_TRACKING_URI=https://registry.lab.example"
    assert answer["code"] == 2


def test_it_says_nothing_where_the_service_has_ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO())
    answering.main()
    assert capsys.readouterr().out == ""
