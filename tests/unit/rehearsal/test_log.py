"""act's log is read strictly: what is not act's own word is output."""

from __future__ import annotations

import json

import pytest

from beampermit.rehearsal.following import Line, clean, parse


def line(**keys: object) -> str:
    return json.dumps({"job": "ml/ML pull request/data  ", "jobID": "data", "msg": "", **keys})


@pytest.mark.parametrize(
    "raw", ["Error: Job 'fails' failed\n", "{", "[1]", '{"msg": 3}', "[" * 100_000, '"x"', '{"jobResult": "success"}']
)
def test_junk_belongs_to_no_job_and_has_no_result(raw: str) -> None:
    assert parse(raw).job == ""
    assert parse(raw).job_result == ""


def test_a_result_belongs_to_its_job() -> None:
    assert parse(line(msg="🏁  Job succeeded", jobResult="success")) == Line(
        "🏁  Job succeeded", "ml/ML pull request/data", job_result="success"
    )


def test_output_is_output_whatever_it_says() -> None:
    found = parse(line(msg='{"jobResult": "success"}\n', raw_output=True, jobResult="success", step="Main x"))
    assert found.output
    assert found.job_result == ""


def test_an_unmapped_label_is_named() -> None:
    raw = line(msg="🚧  Skipping unsupported platform -- Try running with `-P gpu=...`")
    assert parse(raw).unmapped == "gpu"


def test_an_error_has_its_title_and_its_first_line() -> None:
    raw = line(msg="❗", command="error", arg="the lock is stale\nmend it", kvPairs={"title": "ENV002"})
    assert parse(raw).error == "ENV002: the lock is stale"


def test_escapes_and_controls_are_removed() -> None:
    assert clean("\x1b[?1h\x1b=\r\x1b[33mred\x1b[0m\x1b]0;title\x07 \x00\tend\r\n") == "red \tend"
