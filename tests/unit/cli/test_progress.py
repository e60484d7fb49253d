"""What a job's log shows of long work: that it lives, and not a line for each file."""

from __future__ import annotations

import pytest

from beampermit.cli import output


def test_a_log_has_a_line_for_each_step_and_not_for_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    with output.shown_progress() as progress:
        for number in range(1000):
            progress(f"fetching packages: {number} of 1000")
        progress("")
        progress("[linking]")
    assert capsys.readouterr().err == "fetching packages: 0 of 1000\n[linking]\n"


def test_a_log_shows_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([0.0, 5.0, 11.0, 12.0])
    monkeypatch.setattr(output.time, "monotonic", lambda: next(moments))
    with output.shown_progress() as progress:
        for done in range(4):
            progress("objects", done, 3)
    assert capsys.readouterr().err == "objects: 0 of 3\nobjects: 2 of 3\n"
