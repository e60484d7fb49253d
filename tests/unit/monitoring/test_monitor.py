"""The monitor follows the ledger, judges its log by the champion's own limits, and goes on wherever it was killed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from beampermit.alarm_outlets import Checkout, CopyOfMonitor
from beampermit.cli.main import app
from beampermit.contract import Contract, load_contract
from beampermit.errors import BadInput, Failed, Outside
from beampermit.live.observation.monitoring import read_result
from beampermit.live.promoted import Repository, Wanted
from beampermit.live.promoted.promotions import Promotions
from beampermit.monitoring import reference
from beampermit.monitoring.monitor import Monitor, Respond, Round
from beampermit.monitoring.response.candidates import load_candidate
from beampermit.monitoring.response.proposals import Suppressed
from beampermit.monitoring.truth_archive import TruthArchive
from beampermit.registry.bypassing import bypass
from beampermit.verdicts.monitoring import Reading, Trip
from support import responses
from support.archiver import Archiver, sample
from support.forked_commands import beampermit
from support.github_stand_in import GitHub
from support.monitored_log import write_log
from support.permits import KEY
from support.promoted_project import Followed
from support.registry_project import MODEL, Laboratory, sign_promotion

NOW = 1_795_003_600.0
HOUR = 3600.0
BYTES = {"weights.safetensors": f"sha256:{'1' * 64}"}
BEFORE = 400
"""Rows of the reference."""
NEEDED = ("duckdb", "pyarrow.compute", "pyarrow.parquet")
"""What a monitor imports for most of its time."""


def turns(rows: int, seed: int, wide: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, wide, (rows, 250))


def write_limits(root: Path, **truth: np.ndarray) -> None:
    contract = load_contract(root)
    score = np.random.default_rng(1).uniform(0, 0.4, BEFORE)
    found = reference.limits(
        {"turns": turns(BEFORE, 1)},
        {"score": score},
        expected={"turns": (-20.0, 20.0)},
        alarms={"score": (None, 0.5)},
        truth=truth,
    )
    path = root / contract.monitoring.limits
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**found, "split": "validation"}))


class Watched:
    """A monitor of the laboratory's model, with a clock that is set."""

    def __init__(self, lab: Laboratory, folder: Path):
        self.lab, self.folder, self.log, self.now = lab, folder / "monitor", folder / "log", NOW
        self.wanted = Wanted(MODEL, Repository.of_project(lab.project), self.folder)
        self.told: list[Trip] = []

    def write(self, version: int, since: float, until: float, wide: float = 1.0) -> None:
        at = np.arange(since, until, 60.0)
        rows = 2 * len(at)
        seed = int(since - self.now) + 10**6
        score = np.random.default_rng(seed).uniform(0, 0.4, rows)
        signals = {"turns": turns(rows, seed + 1, wide), "score": score}
        devices = {"device": ["B1", "B2"] * len(at), "plane": ["X", "Y"] * len(at)}
        write_log(self.log, load_contract(self.lab.root), self.lab.root, at, signals, version, **devices)

    def respond(self, trips: Sequence[Trip], *_: object) -> None:
        self.told += trips

    def judge(self, after: float = 600.0, respond: Respond | None = None) -> Round:
        self.now += after
        with Monitor(self.wanted, self.log, respond or self.respond, lambda: self.now) as monitor:
            return monitor.judge()

    def levels(self, done: Round) -> dict[str, str]:
        return {one.key: one.level for one in done.result.standings if one.level != "NO_ALARM"}


@pytest.fixture
def watched(lab: Laboratory, tmp_path: Path) -> Watched:
    return Watched(lab, tmp_path)


@pytest.fixture
def with_limits(watched: Watched, followed: Followed) -> Watched:
    """Version 2 is champion, and its commit has limits."""
    write_limits(watched.lab.root)
    followed.promote(3)
    return watched


@pytest.mark.slow
def test_a_shift_trips_after_m_of_n_windows_is_kept_and_clears(with_limits: Watched) -> None:
    watched = with_limits
    watched.write(2, NOW - HOUR, NOW + 600)
    done = watched.judge()
    assert done.result.window.version == 2
    assert not watched.levels(done), done.result.standings
    assert not done.in_alarm
    watched.write(2, NOW + 600, NOW + 6 * HOUR, wide=3.0)
    watched.judge(HOUR)
    done = watched.judge()
    assert watched.levels(done)["MON001 turns.std"] == "MAJOR"
    assert done.in_alarm
    assert read_result(watched.folder) == done.result
    assert "MON001 turns.std" in {trip.standing.key for trip in watched.told}
    watched.judge()
    told = [(trip.name, trip.standing.level) for trip in watched.told]
    assert len(set(told)) == len(told)
    watched.write(2, NOW + 6 * HOUR, NOW + 12 * HOUR)
    while watched.now < NOW + 11 * HOUR:
        done = watched.judge(HOUR)
    assert not done.in_alarm
    assert not watched.levels(done)


@pytest.mark.slow
def test_without_a_checkout_limits_are_proposed_from_those_of_the_version_that_tripped(with_limits: Watched) -> None:
    watched = with_limits
    with Monitor(watched.wanted, watched.log, watched.respond, lambda: watched.now) as monitor:
        monitor.judge()
        copy, tripped = CopyOfMonitor(monitor.watch), responses.trip(version=2)
        found, expected = copy.limits(tripped), Checkout(watched.lab.project).limits(tripped)
        assert (found.contract, found.folder, found.limits.keys) == (expected.contract, "", expected.limits.keys)
        with pytest.raises(Suppressed, match="version 9 is not watched any more"):
            copy.limits(responses.trip(version=9))


@pytest.mark.slow
def test_a_kill_between_judging_and_responding_loses_no_trip_and_tells_none_twice(with_limits: Watched) -> None:
    watched = with_limits

    class Killed(BaseException):
        pass

    def killed(trips: Sequence[Trip], *_: object) -> None:
        if trips:
            raise Killed

    watched.write(2, NOW - HOUR, NOW + 6 * HOUR, wide=3.0)
    watched.judge()
    with pytest.raises(Killed):
        watched.judge(respond=killed)
    watched.judge(after=1.0)
    names = [trip.name for trip in watched.told]
    assert "MON001 turns.std" in {trip.standing.key for trip in watched.told}
    watched.judge(after=1.0)
    assert [trip.name for trip in watched.told] == names
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_a_commit_without_limits_cannot_be_judged(watched: Watched, followed: Followed) -> None:
    watched.write(1, NOW - HOUR, NOW + HOUR)
    watched.judge()
    done = watched.judge()
    assert watched.levels(done) == {"MON008 limits": "INVALID"}
    assert "has no metrics/limits.json" in done.result.standings[0].reading.detail
    # Another champion has limits: from the switch on they are taken.
    write_limits(watched.lab.root)
    followed.promote(3)
    watched.write(2, NOW + HOUR, NOW + 3 * HOUR)
    done = watched.judge(2 * HOUR)
    assert (done.result.window.version, watched.levels(done)) == (2, {})
    assert [trip.cleared for trip in watched.told] == [False, True]


@pytest.mark.slow
def test_while_the_version_before_is_in_service_it_is_judged_by_its_own_limits(
    with_limits: Watched, followed: Followed
) -> None:
    watched = with_limits
    followed.promote(4)
    watched.write(2, NOW - HOUR, NOW + HOUR)
    assert watched.judge().result.window.version == 2
    watched.write(3, NOW + HOUR, NOW + 2 * HOUR)
    assert watched.judge(HOUR).result.window.version == 3


@pytest.mark.slow
def test_without_a_network_the_ledger_as_last_read_counts(with_limits: Watched, followed: Followed) -> None:
    watched = with_limits
    watched.write(2, NOW - HOUR, NOW + HOUR)
    watched.judge()
    followed.lose_the_network()
    done = watched.judge()
    assert done.result.window.version == 2
    assert "the ledger as it was last read here" in done.notes[0]


def test_a_ledger_that_was_never_read_is_said(watched: Watched, followed: Followed) -> None:
    followed.lose_the_network()
    with pytest.raises(Outside, match="never read"):
        watched.judge()


@pytest.mark.slow
def test_a_bypass_in_the_ledger_is_shown_and_holds_the_telling_back(with_limits: Watched) -> None:
    watched, moment = with_limits, datetime.now(UTC)
    project, watched.now = watched.lab.project, moment.timestamp()
    bypass(project, watched.lab.ledger, "drift", subject="", until="2h", reason="water is off", now=moment)
    watched.write(2, watched.now - HOUR, watched.now + 9 * HOUR, wide=1.5)
    watched.judge()
    done = watched.judge()
    (first, *_) = done.result.standings
    assert (first.level, first.bypass_reason) == ("MAJOR", "water is off")
    assert not done.in_alarm
    assert not watched.told
    assert watched.judge(2 * HOUR).in_alarm
    assert watched.told


def test_one_monitor_uses_a_state_folder_at_a_time(watched: Watched, tmp_path: Path) -> None:
    with Monitor(watched.wanted, tmp_path), pytest.raises(BadInput, match="another monitor uses this state folder"):
        Monitor(watched.wanted, tmp_path)
    Monitor(watched.wanted, tmp_path).close()


def test_a_state_folder_belongs_to_one_model(watched: Watched, tmp_path: Path) -> None:
    watched.folder.mkdir()
    (watched.folder / "state.json").write_text('{"model": "other"}')
    with pytest.raises(BadInput, match="that of a monitor of other"):
        Monitor(watched.wanted, tmp_path)


def test_a_damaged_state_is_begun_anew(watched: Watched, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched.folder.mkdir()
    (watched.folder / "state.json").write_text('{"model": "bpm')
    Monitor(watched.wanted, tmp_path).close()
    assert "alarms are judged anew" in caplog.text


@pytest.mark.slow
def test_a_retired_model_has_no_alarm(with_limits: Watched, followed: Followed) -> None:
    watched = with_limits
    watched.write(2, NOW - HOUR, NOW + 6 * HOUR, wide=3.0)
    watched.judge()
    assert watched.judge().in_alarm
    followed.write("retire")
    contracts: list[Contract | None] = []

    def respond(trips: Sequence[Trip], _: object, contract: Contract | None) -> None:
        contracts.append(contract)
        watched.respond(trips)

    done = watched.judge(respond=respond)  # after a restart: by whose contract are its issues closed?
    assert [contract and contract.model.name for contract in contracts] == ["bpm-faults"]
    assert (done.result.window.version, done.in_alarm) == (0, False)
    assert "no version of bpm-faults is in service" in done.notes
    assert {trip.name for trip in watched.told if trip.cleared} == {
        trip.name for trip in watched.told if not trip.cleared
    }


@pytest.mark.slow
def test_the_command_ends_with_a_code_for_what_it_found(with_limits: Watched, github: GitHub) -> None:
    watched = with_limits
    watched.now = time.time()
    watched.write(2, watched.now - HOUR, watched.now, wide=3.0)
    words = ["monitor", "--once", "--project", str(watched.lab.root), "--state", str(watched.folder)]
    with pytest.raises(BadInput, match="--log is needed"):
        app(words, standalone_mode=False)
    with pytest.raises(BadInput, match="no such folder with a prediction log"):
        app([*words, "--log", str(watched.folder / "none")], standalone_mode=False)
    ran = CliRunner().invoke(app, [*words, "--log", str(watched.log), "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["window"]["version"] == 2
    kept = json.loads((watched.folder / "state.json").read_text())
    kept["rules"]["until"] -= 600  # as if it had been asked ten minutes ago
    (watched.folder / "state.json").write_text(json.dumps(kept))
    to = {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": github.repository, "GITHUB_TOKEN": "s3cret"}
    ran = CliRunner().invoke(app, [*words, "--log", str(watched.log)], env=to)
    assert ran.exit_code == 1, ran.output
    assert "MON001   MAJOR    turns.std" in ran.stdout
    # Times are in UTC and say so, wherever it runs, as those of `beampermit bypass`.
    assert re.search(r"rows, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ to ", ran.stdout)
    # And what the alarm starts is done.
    titles = {issue["title"] for issue in github.issues.values()}
    assert "bpm-faults: An input's distribution differs from the reference of turns.std (MON001)" in titles
    assert "Monitor of bpm-faults" in titles
    (candidate,) = (watched.folder / "candidates").iterdir()
    assert load_candidate(candidate).rows > 100


@pytest.mark.slow
def test_it_runs_until_it_is_told_to_end_whatever_a_window_does(
    with_limits: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, end, done = with_limits, threading.Event(), list[Round]()
    monkeypatch.setattr("beampermit.monitoring.monitor.read_window", lambda *_, **__: 1 / 0)

    def told(one: Round) -> None:
        done.append(one)
        end.set()

    with Monitor(watched.wanted, watched.log, clock=lambda: watched.now) as monitor:
        monitor.run(end, told)
    reading = done[0].result.standings[0].reading
    assert (reading.check, reading.detail) == ("MON008", "a defect of the monitor: ZeroDivisionError: division by zero")


@pytest.mark.slow
def test_truth_that_cannot_be_read_is_an_alarm_of_its_own(with_limits: Watched, tmp_path: Path) -> None:
    watched = with_limits
    watched.write(2, NOW - HOUR, NOW + HOUR)
    table = tmp_path / "truth.csv"
    table.write_text("when,what\n1,2\n")
    watched.now = NOW
    with Monitor(watched.wanted, watched.log, clock=lambda: watched.now, truth=table) as monitor:
        found = {one.key: one.reading.value for one in monitor.judge().result.standings}
        assert found["MON008 truth"] == 1.0
        table.unlink()  # it comes later
        watched.now += 600
        assert {one.key: one.reading.value for one in monitor.judge().result.standings}["MON008 truth"] == 0.0


@pytest.mark.slow
def test_of_truth_that_comes_once_a_day_every_hour_is_judged_once(watched: Watched, followed: Followed) -> None:
    """Hours 3 to 5 of a day are wrong, and its last one is right."""
    file = watched.lab.root / "contract.yaml"
    contract = YAML().load(file)
    contract["signals"]["outputs"][0]["target"] = "faulty"
    contract["monitoring"] |= {"truth": "truth.csv", "truth_within": "5s", "clear_after": 3}
    YAML().dump(contract, file)
    write_limits(watched.lab.root, score=np.full(BEFORE, 0.2))
    followed.promote(3)
    watched.write(2, NOW - 24 * HOUR, NOW + HOUR)
    devices = (watched.lab.root / "devices.csv").read_text().split()

    def truth(hours: range) -> None:
        lines = [f"time,{devices[0]},faulty"]
        for hour in hours:
            at = NOW - 24 * HOUR + hour * HOUR + 60.0 * np.arange(60)
            lines += [f"{one:.0f},{key},{9.0 if hour in (3, 4, 5) else 0.2}" for one in at for key in devices[1:]]
        (watched.lab.root / "truth.csv").write_text("\n".join(lines) + "\n")

    def told() -> list[tuple[str, bool]]:
        return [(one.standing.level, one.cleared) for one in watched.told if one.standing.key == "MON007 score"]

    with Monitor(watched.wanted, watched.log, watched.respond, lambda: watched.now, root=watched.lab.root) as monitor:
        truth(range(1))
        watched.now = NOW - 22 * HOUR
        monitor.judge()
        truth(range(24))
        watched.now = NOW
        done = monitor.judge()
        assert "MON007 score" not in watched.levels(done)
        assert told() == [("MAJOR", False), ("NO_ALARM", True)]
        for _ in range(3):  # what was counted is not counted again
            watched.now += 600
            monitor.judge()
    assert len(told()) == 2


@pytest.mark.slow
def test_labels_of_an_older_day_that_come_after_a_newer_one_are_judged(watched: Watched, followed: Followed) -> None:
    """Hours 2 to 4 were wrong; the expert begins with the hours from 6 on."""
    file = watched.lab.root / "contract.yaml"
    contract = YAML().load(file)
    contract["signals"]["outputs"][0]["target"] = "faulty"
    contract["monitoring"] |= {"truth": "truth.csv", "truth_within": "5s", "truth_after": "11h", "clear_after": 2}
    YAML().dump(contract, file)
    write_limits(watched.lab.root, score=np.full(BEFORE, 0.2))
    followed.promote(3)
    watched.write(2, NOW - 12 * HOUR, NOW + HOUR)
    devices = (watched.lab.root / "devices.csv").read_text().split()

    def judged(*hours: int) -> list[tuple[str, bool]]:
        lines = [f"time,{devices[0]},faulty"]
        for hour in hours:
            at = NOW - 12 * HOUR + hour * HOUR + 60.0 * np.arange(60)
            lines += [f"{one:.0f},{key},{9.0 if hour in (0, 2, 3, 4) else 0.2}" for one in at for key in devices[1:]]
        (watched.lab.root / "truth.csv").write_text("\n".join(lines) + "\n")
        watched.now += 600
        with Monitor(watched.wanted, watched.log, watched.respond, lambda: watched.now, root=watched.lab.root) as one:
            done = one.judge()
        found.update({one.key: one.reading.detail for one in done.result.standings})
        return [(one.standing.level, one.cleared) for one in watched.told if one.standing.key == "MON007 score"]

    found, late = dict[str, str](), (6, 7, 8, 9)
    assert judged(6) == judged(*late) == []
    # Of a window that ended more than eleven hours ago, too late: it is said.
    assert judged(0, *late) == []
    assert found["MON007 truth"].endswith(
        "; 12 rows filled in behind newer truth wait for more of their window;"
        " 108 rows filled in behind newer truth came later than monitoring.truth_after and did not count"
    )
    # The hours since then were good.
    told = [("MAJOR", False), ("NO_ALARM", True)]
    assert judged(0, 2, 3, 4, *late) == told
    assert judged(0, 2, 3, 4, *late) == told  # once
    raised, _ = (one for one in watched.told if one.standing.key == "MON007 score")
    assert NOW - 9 * HOUR <= raised.standing.since <= NOW - 7 * HOUR


@pytest.mark.slow
def test_a_truth_that_the_contract_names_and_nobody_knows_is_an_alarm(watched: Watched, followed: Followed) -> None:
    write_limits(watched.lab.root)
    file = watched.lab.root / "contract.yaml"
    contract = YAML().load(file)
    contract.setdefault("monitoring", {})["truth"] = "data/truth.csv"
    YAML().dump(contract, file)
    followed.promote(3)
    watched.write(2, NOW - HOUR, NOW + HOUR)
    watched.judge()
    done = watched.judge()
    assert watched.levels(done) == {"MON008 truth": "INVALID"}
    assert "data/truth.csv of the contract is not here: --truth FILE" in done.result.standings[0].reading.detail
    # In the project it is known where the table will be: then only its age is judged.
    watched.now += 600
    with Monitor(watched.wanted, watched.log, clock=lambda: watched.now, root=watched.lab.root) as monitor:
        found = {one.key: one.reading.value for one in monitor.judge().result.standings}
    assert found["MON008 truth"] == 0.0
    assert found["MON007 truth"] > 86400


@pytest.mark.slow
def test_truth_of_pvs_is_asked_of_an_archiver_that_may_be_down(watched: Watched, followed: Followed) -> None:
    file = watched.lab.root / "contract.yaml"
    contract = YAML().load(file)
    contract["signals"]["outputs"][0] |= {"target": "faulty", "target_pv": "{device}:{plane}:TRUTH"}
    YAML().dump(contract, file)
    write_limits(watched.lab.root, score=np.full(BEFORE, 0.2))
    followed.promote(3)
    watched.write(2, NOW - HOUR, NOW)
    archiver = Archiver()
    for bpm in ("B1:X", "B2:Y"):
        archiver.add(f"{bpm}:TRUTH", [sample(at, 9.0) for at in np.arange(NOW - HOUR, NOW, 60.0)])
    asked = TruthArchive("http://127.0.0.1:1")
    with Monitor(watched.wanted, watched.log, watched.respond, lambda: watched.now, pvs=asked) as monitor:

        def judged() -> dict[str, Reading]:
            watched.now += 600
            return {one.key: one.reading for one in monitor.judge().result.standings}

        down = judged()
        assert down["MON008 truth"].value == 1.0
        assert "the archiver at http://127.0.0.1:1 does not return" in down["MON008 truth"].detail
        assert "MON007 truth" not in down
        with archiver.serve():
            asked._options = asked._options.model_copy(update={"url": archiver.url})
            found = judged()
        assert found["MON008 truth"].value == 0.0
        assert found["MON007 score"].exceeded
        assert found["MON007 truth"].value == pytest.approx(watched.now - 2 - (NOW - 60))


@pytest.mark.slow
def test_a_champion_whose_permit_nobody_believes_is_an_alarm_and_the_version_before_is_watched(
    with_limits: Watched,
) -> None:
    watched, lab = with_limits, with_limits.lab
    watched.write(2, NOW - HOUR, NOW + 6 * HOUR, wide=3.0)
    watched.judge()
    assert not watched.told
    line = {"sequence": lab.last().sequence + 1, "version": 3, "expected": 2}
    event, permit = sign_promotion(lab.last().model_copy(update=line), BYTES, key=KEY)
    lab.forge(event, permits={f"permits/{event.permit.removeprefix('sha256:')}.json": permit})
    # Each time by a monitor that was started again: what was in service before is found in the ledger.
    watched.judge()
    done = watched.judge()
    levels = watched.levels(done)
    assert (done.result.window.version, levels["MON008 permit"], levels["MON001 turns.std"]) == (2, "INVALID", "MAJOR")
    (said,) = (one.reading.detail for one in done.result.standings if one.key == "MON008 permit")
    assert "version 3" in said
    assert "signed with an untrusted key" in said
    assert "MON008 permit" in {trip.standing.key for trip in watched.told}


@pytest.mark.slow
def test_where_nobody_vouches_for_any_version_that_is_said(
    with_limits: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = with_limits
    watched.write(2, NOW - HOUR, NOW + 6 * HOUR)
    watched.now += HOUR
    refused: list[bool] = []

    def unless_refused(work: Callable[..., Any]) -> Callable[..., Any]:
        def judged(*given: Any) -> Any:
            if refused:
                raise Failed("the permit is not signed with a key of the protected branch")
            return work(*given)

        return judged

    for name in ("declare", "verify_permit"):
        monkeypatch.setattr(Promotions, name, unless_refused(getattr(Promotions, name)))
    with Monitor(watched.wanted, watched.log, watched.respond, lambda: watched.now) as monitor:
        monitor.judge()
        refused.append(True)
        watched.now += 600
        monitor.judge()
        watched.now += 600
        done = monitor.judge()
    # What was believed until now is still watched.
    assert done.result.window.rows
    assert watched.levels(done) == {"MON008 permit": "INVALID"}
    done = watched.judge()
    assert (done.result.window.version, done.result.window.rows) == (2, 0)
    assert watched.levels(done) == {"MON008 permit": "INVALID"}
    refused.clear()
    for _ in range(3):
        done = watched.judge()
    assert not watched.levels(done)


@pytest.mark.slow
def test_the_process_ends_in_order_and_no_second_one_takes_its_folder(with_limits: Watched) -> None:
    watched = with_limits
    watched.now = time.time()
    watched.write(2, watched.now - HOUR, watched.now)
    words = ["monitor", "--project", str(watched.lab.root), "--log", str(watched.log), "--state", str(watched.folder)]
    command = [sys.executable, "-m", "beampermit.cli.main", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 120
        while not (watched.folder / "page.html").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        assert read_result(watched.folder).window.version == 2
        second = beampermit(*words, "--once", cwd=watched.lab.root, needs=NEEDED)
        assert (second.returncode, "another monitor uses this state folder" in second.stderr) == (2, True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    again = beampermit(*words, "--once", cwd=watched.lab.root, needs=NEEDED)
    assert again.returncode == 0, again.stderr
