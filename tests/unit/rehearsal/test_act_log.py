"""act's log is read strictly: whatever a step prints is output."""

from __future__ import annotations

import json

import pytest

from beampermit.rehearsal.act_log import Line, parse_line, strip_control


def line(**keys: object) -> str:
    return json.dumps({"job": "ml/ML pull request/data  ", "jobID": "data", "msg": "", **keys})


@pytest.mark.parametrize(
    "raw", ["Error: Job 'fails' failed\n", "{", "[1]", '{"msg": 3}', "[" * 100_000, '"x"', '{"jobResult": "success"}']
)
def test_invalid_line_has_no_job_and_no_result(raw: str) -> None:
    assert parse_line(raw).job == ""
    assert parse_line(raw).job_result == ""


def test_result_belongs_to_its_job() -> None:
    assert parse_line(line(msg="🏁  Job succeeded", jobResult="success")) == Line(
        "🏁  Job succeeded", "ml/ML pull request/data", job_result="success"
    )


def test_output_of_a_step_is_never_a_result() -> None:
    found = parse_line(line(msg='{"jobResult": "success"}\n', raw_output=True, jobResult="success", step="Main x"))
    assert found.output
    assert found.job_result == ""


def test_unmapped_label_is_named() -> None:
    raw = line(msg="🚧  Skipping unsupported platform -- Try running with `-P gpu=...`")
    assert parse_line(raw).unmapped == "gpu"


def test_error_has_its_title_and_first_line() -> None:
    raw = line(msg="❗", command="error", arg="the lock is stale\nfix it", kvPairs={"title": "ENV002"})
    assert parse_line(raw).error == "ENV002: the lock is stale"


def test_escape_sequences_and_control_characters_are_removed() -> None:
    assert strip_control("\x1b[?1h\x1b=\r\x1b[33mred\x1b[0m\x1b]0;title\x07 \x00\tend\r\n") == "red \tend"
