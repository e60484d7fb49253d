"""A dead man's switch: it fails when the monitor is silent, and only then."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import BadInput, Failed, Outside
from beampermit.files import write_text
from beampermit.github.client import Client
from beampermit.live.observation.monitoring import RESULT
from beampermit.monitoring.response.heartbeat import Alive, look_here, look_on_github
from beampermit.monitoring.response.issues import Issues, mark_of
from support.github_server import says
from support.responses import HOUR, Responding, result, trip

Respond = Callable[..., Responding]
MODEL = "bpm-faults"
LIMIT = 2 * HOUR


@pytest.fixture
def alive(responding: Respond, monkeypatch: pytest.MonkeyPatch) -> Responding:
    """A monitor that reported now, by the clock of the stand-in."""
    monitor = responding()
    monitor.at = time.time()
    monitor.work(result=result(monitor.at, trip().standing))
    return monitor


def looked(monitor: Responding, after: float = 0.0, required: bool = True) -> Alive:
    client = Client(monitor.github.repository, "s3cret", api=monitor.github.url, sleep=lambda _: None)
    found = look_on_github(Issues(client), MODEL, LIMIT, monitor.at + after, required=required)
    assert found
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("after", "silent"), [(0.0, False), (LIMIT - 1, False), (LIMIT + 1, True), (10 * LIMIT, True)])
def test_it_fails_just_beyond_the_limit(alive: Responding, after: float, silent: bool) -> None:
    if not silent:
        assert looked(alive, after).alarms == 1
        return
    with pytest.raises(Failed, match=r"monitor of bpm-faults (judged its last window 2\.0 h ago|has not reported)"):
        looked(alive, after)


@pytest.mark.slow
def test_one_issue_is_replaced_twice_an_hour_at_most(alive: Responding) -> None:
    began = alive.github.count("PATCH")
    for _ in range(6):
        alive.work(after=600, result=result(alive.at + 600))
    assert alive.github.count("PATCH") - began == 2
    assert [issue["title"] for issue in alive.github.issues.values()] == ["Monitor of bpm-faults"]
    assert looked(alive).alarms == 0


@pytest.mark.slow
def test_an_old_result_is_silence_though_somebody_changes_the_issue(alive: Responding) -> None:
    (issue,) = alive.github.issues.values()
    issue["updated_at"] = "2099-01-01T00:00:00Z"
    with pytest.raises(Failed, match=r"judged its last window 2\.1 h ago"):
        looked(alive, LIMIT + 360)


def test_a_closed_issue_still_tells(alive: Responding) -> None:
    (issue,) = alive.github.issues.values()
    issue["state"] = "closed"
    alive.work(after=HOUR, result=result(alive.at + HOUR))
    assert looked(alive).age < 1
    assert len(alive.github.issues) == 1


@pytest.mark.slow
def test_a_deleted_issue_is_opened_again(alive: Responding) -> None:
    alive.github.issues.clear()
    for _ in range(2):
        alive.work(after=HOUR, result=result(alive.at + HOUR))
    assert looked(alive).age < 2 * HOUR


def test_a_monitor_that_never_reported_is_silent(responding: Respond) -> None:
    with pytest.raises(
        Failed, match=r"the monitor of bpm-faults has not reported for 2\.0 h or more: issues of lab/faults"
    ):
        looked(responding())


@pytest.mark.slow
def test_the_first_report_arms_the_switch(alive: Responding) -> None:
    with pytest.raises(Failed, match="has not reported"):
        looked(alive, 10 * LIMIT, required=False)
    issues = dict(alive.github.issues)
    alive.github.issues.clear()
    client = Client(alive.github.repository, "s3cret", api=alive.github.url)
    assert look_on_github(Issues(client), MODEL, LIMIT, alive.at, required=False) is None
    alive.github.issues.update(issues)
    assert looked(alive, required=False).alarms == 1


def test_a_stranger_cannot_report_for_a_monitor(responding: Respond) -> None:
    monitor = responding()
    monitor.at = time.time()
    line = f'<!-- beampermit heartbeat {{"at": {monitor.at}, "version": 3, "alarms": 0}} -->'
    monitor.github.issue("Monitor", f"{line}\n\n{mark_of('heartbeat', MODEL)}", login="eve")
    with pytest.raises(Failed, match=r"by somebody who may not write in lab/faults, so it is not believed: http"):
        looked(monitor)
    assert monitor.github.count("GET /repos/lab/faults/issues") == 2, "those of late, and then all"


@pytest.mark.slow
def test_who_leaves_does_not_disarm_the_switch(alive: Responding) -> None:
    """Their token reported; from the day that they leave, nothing that they wrote is believed."""
    (issue,) = alive.github.issues.values()
    assert looked(alive, required=False).alarms == 1
    issue |= {"author_association": "NONE", "user": {"login": "ada", "type": "User"}}
    for after in (0.0, 30 * 24 * HOUR):
        with pytest.raises(Failed, match="by somebody who may not write"):
            looked(alive, after, required=False)


@pytest.mark.slow
def test_a_time_in_the_future_is_a_wrong_clock(alive: Responding) -> None:
    looked(alive, -590)
    with pytest.raises(Failed, match="in the future: a clock is wrong"):
        looked(alive, -610)


@pytest.mark.slow
def test_a_heartbeat_that_cannot_be_read_is_no_pass(alive: Responding) -> None:
    (issue,) = alive.github.issues.values()
    issue["body"] = issue["body"].replace('"alarms":1', '"alarms":-1')
    with pytest.raises(Outside, match="a heartbeat that cannot be read"):
        looked(alive)


@pytest.mark.slow
def test_github_down_is_not_silence(alive: Responding) -> None:
    alive.github.next(*[says(500)] * 5)
    with pytest.raises(Outside):
        looked(alive)


def test_the_machine_itself_can_look(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"result\.json: the monitor has no result yet"):
        look_here(tmp_path, LIMIT, 0.0)
    write_text(tmp_path / RESULT, result(1000.0, trip().standing).model_dump_json())
    assert look_here(tmp_path, LIMIT, 1000.0 + LIMIT).alarms == 1
    with pytest.raises(Failed, match=r"judged its last window 2\.0 h ago"):
        look_here(tmp_path, LIMIT, 1001.0 + LIMIT)
    write_text(tmp_path / RESULT, "{}")
    with pytest.raises(BadInput, match=r"result\.json: not a result of the monitor"):
        look_here(tmp_path, LIMIT, 0.0)
