"""24 hours, played: drift, alarm, candidate, retraining, gates, promotion, all clear; or the gates refuse.

The service's loop, its models' processes and its log are the real ones, at recorded times; act runs `retrain.yml`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beampermit.alarm_outlets import responder_of
from beampermit.errors import Failed
from beampermit.live.observation.monitoring import read_result
from beampermit.live.promoted import Repository, Wanted
from beampermit.monitoring.limits import read_limits
from beampermit.monitoring.monitor import Monitor
from beampermit.project import Project
from beampermit.retraining import BRANCH
from support.forked_commands import environment_of_forks, executable
from support.github_stand_in import GitHub
from support.night_project import DRIFTS, MIDNIGHT, PERIOD, WINDOW, begin, reach, signed
from support.played_night import JUDGED, MORNING, RUNNER_FREE, Models, Night, models
from support.prediction_logs import rows
from support.promoted_project import Followed
from support.registry_project import MODEL, Laboratory
from support.rehearsals import lend_checker
from support.shared import shared_folder

__all__ = ["models"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]
Played = Callable[..., Night]
MEETING = RUNNER_FREE + WINDOW
"""When people merge what passed."""
ALARMS = {"MON001 current", "MON002", "MON004 score", "MON007 score"}


@pytest.fixture
def lab(
    prepared: Callable[..., Laboratory],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Laboratory:
    """Version 1 is in service; made once for both nights."""
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(shared_folder(tmp_path_factory) / "cache-of-the-service"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("BEAMPERMIT_ENVIRONMENT", sys.prefix)
    lab = prepared("night", begin)
    reach(lab.root, lab.root.parent)
    # What `retrain.yml` runs, and the pipeline: forks of a Python that has imported it.
    training = environment_of_forks().prefix
    if not (training / "bin/beampermit").exists():
        executable(training / "bin")
    lend_checker(tmp_path_factory, monkeypatch, environment=training)
    return lab


@pytest.fixture
def night(
    lab: Laboratory,
    followed: Followed,
    in_this_process: None,
    models: Models,
    github: GitHub,
    tmp_path: Path,
) -> Iterator[Played]:
    """A night that was played."""
    with ExitStack() as stack:

        def played(wrong_truth: tuple[float, float] = (0.0, 0.0), families: tuple[str, ...] = JUDGED) -> Night:
            state, log = tmp_path / "monitor", tmp_path / "log"
            wanted = Wanted(MODEL, Repository.of_project(lab.project), state)

            def clock() -> float:
                return made.at

            responder = stack.enter_context(
                responder_of(
                    state,
                    log=log,
                    repository=github.repository,
                    environment={"GITHUB_TOKEN": "s3cret", "GITHUB_API_URL": github.url},
                    clock=clock,
                )
            )
            monitor = Monitor(wanted, log, responder.take, clock, truth=tmp_path / "truth.parquet")
            stack.enter_context(monitor)
            made = Night(lab, followed, github, monitor, responder, models, wrong_truth, families=families)
            made.play()
            return made

        yield played


def logged(log: Path) -> list[dict[str, Any]]:
    """What the service wrote since midnight."""
    return [row for row in rows(log, "served.at", "served.version") if row["served.at"] >= MIDNIGHT]


def issues(github: GitHub) -> dict[str, str]:
    """The state of each issue about an alarm, by the alarm's check."""
    about = [one for one in github.issues.values() if "(MON" in one["title"]]
    return {one["title"].rpartition("(")[2].rstrip(")"): one["state"] for one in about}


def test_a_drift_is_seen_trained_on_judged_promoted_and_over(night: Played, github: GitHub, tmp_path: Path) -> None:
    played = night()
    lab, trips = played.lab, played.trips
    # Nothing is told before the second window with drift, and everything within two more.
    assert not any(played.levels(MIDNIGHT + window * WINDOW) for window in (1, 2, 3))
    raised = {trip.standing.key: trip for trip in trips if not trip.cleared}
    assert raised.keys() == ALARMS
    assert {trip.window.until for trip in raised.values()} <= {DRIFTS + 2 * WINDOW - 2, DRIFTS + 3 * WINDOW - 2}
    # Its window is a candidate; one retraining was asked for, whatever came afterwards.
    first = min(raised.values(), key=lambda trip: trip.window.until)
    (candidate, *_) = sorted((tmp_path / "monitor/candidates").iterdir())
    about = json.loads((candidate / "candidate.json").read_text())
    assert (about["window"]["version"], about["rows"]) == (1, 120)
    assert [*candidate.rglob("*.parquet")]
    (order,) = github.dispatched
    assert (order["workflow"], order["ref"]) == ("retrain.yml", "main")
    assert order["inputs"]["reason"] in {trip.name for trip in raised.values() if trip.window == first.window}
    # Its pull request holds for every gate, and was compared with the champion.
    pull = github.pulls[1]
    assert (pull["head"]["ref"], pull["base"]["ref"]) == (BRANCH, "main")
    assert f"Why: {order['inputs']['reason']}" in pull["body"]
    assert lab.git("rev-parse", f"origin/{BRANCH}^") == played.first
    changed = set(lab.git("diff", "--name-only", f"{played.first}..origin/{BRANCH}").split())
    assert {"contract.yaml", "dvc.lock", "manifest.json"} <= changed
    assert not [name for name in changed if name.endswith(".py")]
    assert played.failed == {}
    assert played.judged
    reasons = {one.id: one.reason for one in played.judged.verdicts}
    assert "dataset.request.version 1 -> 2" in reasons["PRF001"]
    assert "version 1" in reasons["PRF002"]
    # It is promoted, served, and judged by its own limits.
    assert (lab.events(), lab.champion()) == ([("promote", 1), ("promote", 2)], 2)
    switched = [(row["served.at"], row["served.version"]) for row in logged(tmp_path / "log")]
    assert switched == [(float(at), 1 + (at >= MEETING)) for at in np.arange(MIDNIGHT, MORNING, PERIOD)]
    last = {one.key: one.reading for one in played.rounds[-1].result.standings}
    before = {one.key: one.reading for one in played.rounds[0].result.standings}
    limits = read_limits(lab.root, lab.project.contract)
    for key in ("MON001 current", "MON007 score"):
        assert last[key].limit == pytest.approx(limits.limit(key))
        assert last[key].usual != pytest.approx(before[key].usual)
    # The alarms clear with the switch, and their issues are closed.
    cleared = {trip.standing.key: trip.window.until for trip in trips if trip.cleared}
    assert cleared == dict.fromkeys(ALARMS, MEETING + WINDOW - 2)
    assert not any(done.in_alarm for done in played.rounds if done.result.at > MEETING)
    assert issues(github) == {key.split()[0]: "closed" for key in ALARMS}
    assert read_result(tmp_path / "monitor").window.version == 2


@pytest.mark.plants("PRF001", "PRF002")
def test_a_new_model_that_is_worse_is_refused_and_the_alarm_stays(
    night: Played, github: GitHub, tmp_path: Path
) -> None:
    # The loss monitor is wired the wrong way round until after the hours that are trained on.
    played = night(wrong_truth=(DRIFTS, DRIFTS + 3 * WINDOW), families=("PRF",))
    lab = played.lab
    assert played.failed.keys() == {"PRF001", "PRF002"}
    assert "distance" in played.failed["PRF001"]
    assert "distance" in played.failed["PRF002"]
    assert played.judged
    with pytest.raises(Failed, match=r"no permit for .*PRF001"):
        signed(lab, played.pull_request(), played.judged)
    # Nothing changed, and nobody is asked again before the cooldown is over.
    assert (lab.events(), lab.champion(), played.version.number) == ([("promote", 1)], 1, 1)
    assert {row["served.version"] for row in logged(tmp_path / "log")} == {1}
    assert Project(lab.root).git.remote_tip("origin", "main")[1] == lab.project.git.head()
    assert (len(github.dispatched), [pull["state"] for pull in github.pulls.values()]) == (1, ["open"])
    # The alarm is on all night, and told of.
    assert {*played.levels(MORNING)} >= {"MON001 current", "MON002"}
    assert not [trip for trip in played.trips if trip.cleared and trip.standing.reading.check != "MON007"]
    assert {issues(github)[check] for check in ("MON001", "MON002")} == {"open"}
