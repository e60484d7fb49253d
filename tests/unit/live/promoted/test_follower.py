"""The version in service follows the ledger, and nothing takes its place that was not verified."""

from __future__ import annotations

import errno
import os
import queue
import re
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from beampermit.digest import digest_file, manifest
from beampermit.errors import BadInput, Failed, Outside
from beampermit.git import Git
from beampermit.live.loop import Standing
from beampermit.live.observation.metrics import Metrics
from beampermit.live.promoted import Declared, Follower, Promoted, Promotions, Wanted, find
from beampermit.live.promoted.job import FIRST
from beampermit.live.promoted.reach import BEGINS, SOON
from beampermit.live.promoted.registry_reach import EVERY as EVERY_MINUTE
from beampermit.live.promoted.registry_reach import answers
from beampermit.live.promoted.served import read_served
from beampermit.live.serve import _Assembly
from beampermit.live.wiring import wire
from beampermit.permit.keys import generate_keys, load_signing_key
from beampermit.permit.statement import BoundFile
from beampermit.processes import Finished
from beampermit.registry.ledger import PATIENCE
from support.attacks import attack_case
from support.epics import until
from support.loopback import listening
from support.permits import KEY
from support.promoted_project import Followed
from support.registry_project import Laboratory, sign_promotion
from support.served import Serve, Served
from support.truth import ALLOWANCE, Situation, truth_case

pytestmark = pytest.mark.slow

EXPIRED = "not-after: 2020-01-01\n"
"""Before a key: it vouches for nothing that was issued since."""
EVERY = 0.3
"""s between two looks, as `--follow` says it."""
GOES_ON = "version 1 goes on"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def other_model(service: Followed, weight: float) -> None:
    """A further version is promoted, and its bytes are here."""
    service.promote(weight)
    service.have_the_model()


def told(service: Followed) -> list[tuple[int, str, str]]:
    """What `on_standing` got since this was asked last."""
    new = [(one.version, one.refused, one.note) for one in service.standings]
    service.standings.clear()
    return new


def kept(state: Path) -> int:
    """The version that may go on after a restart."""
    served = read_served(state)
    return served.version if served else 0


# What is found


def test_the_champion_is_fetched_verified_and_served_again_without_a_network(followed: Followed) -> None:
    standing = followed.look()
    (champion,) = followed.champions
    assert (standing.version, standing.refused, standing.note) == (1, "", "")
    assert standing.permit == champion.statement.digest == followed.lab.last().permit
    assert manifest(champion.folder) == champion.statement.predicate.model
    assert champion.environment.run(["-c", "print(1)"], project=champion.root).out == "1\n"
    # What its PVs are is known before its bytes are here, and of its commit.
    assert followed.declared[0].contract == champion.contract
    assert wire(champion.contract, champion.root).rows == ("B1:X", "B2:Y")

    followed.lose_the_network()
    again = followed.again()
    standing = again.look()
    assert (again.version, standing.refused) == (1, "")
    assert "the ledger has not answered since" in standing.note
    assert "is served as it was last verified here" in standing.note
    again.find_the_network()
    assert again.look().note == ""
    again.promotions.close()


def test_find_gives_the_champion_and_names_what_it_does(lab: Laboratory, followed: Followed) -> None:
    followed.have_the_model()
    followed.promotions.close()
    steps: list[str] = []
    champion = find(followed.wanted, lambda step, *_: steps.append(step))
    assert (champion.version, champion.variant) == (1, "")
    assert steps[:3] == ["read the ledger", "verify the permit", "fetch the model"]


def test_find_says_why_there_is_no_champion(followed: Followed) -> None:
    followed.write("retire")
    followed.promotions.close()
    with pytest.raises(Failed, match=r"version 1 was retired by Ada Operator .*: drifts"):
        find(followed.wanted)


def test_a_second_service_does_not_share_the_state_folder(followed: Followed) -> None:
    with pytest.raises(BadInput, match="another service uses this state folder"):
        Promotions(followed.wanted)


def test_without_a_ledger_nothing_is_served_until_there_is_one(followed: Followed) -> None:
    followed.have_the_model()
    followed.lose_the_network()
    standing = followed.look()
    assert standing.refused.startswith("no champion could be verified: ")
    assert "does not answer" in standing.refused
    followed.find_the_network()
    assert (followed.look().refused, followed.version) == ("", 1)


# What the ledger says


def test_a_new_champion_is_handed_over_once_it_is_ready_and_a_rollback_as_well(serving: Followed) -> None:
    other_model(serving, 3)
    serving.follower.look()
    assert serving.version == 1  # it goes on while the other one is prepared
    assert serving.look().version == 2
    serving.write("rollback", 1)
    assert serving.look().version == 1
    assert [champion.version for champion in serving.champions] == [1, 2, 1]
    assert serving.follower.standing.note == ""


def test_what_shows_is_followed_as_well_while_the_new_champion_runs_beside_it(serving: Followed) -> None:
    other_model(serving, 3)
    told(serving)
    serving.look()
    beside = f"version 2 is champion since {serving.lab.last().at} and runs beside it"
    assert told(serving) == [(1, "", beside)]  # the new one was handed over with its standing
    serving.lose_the_network()
    serving.look()
    (_, _, new), (_, _, shown) = told(serving)
    assert new.endswith(GOES_ON)
    assert shown == f"{new}; {beside}"
    serving.find_the_network()
    serving.write("retire", 1)
    serving.look()
    (_, _, none), (version, retired, _) = told(serving)
    assert (none, version) == ("", 1)
    assert retired.endswith("drifts; version 2 is champion now")
    serving.look()
    assert not told(serving)


def test_what_shows_is_refused_although_its_successor_is_believed(
    serving: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distrust(version: int) -> None:
        def verify(declared: Declared) -> None:
            if declared.version == version:
                raise Failed(f"version {version} is not believed")

        monkeypatch.setattr(serving.promotions, "verify_permit", verify)

    other_model(serving, 3)
    serving.look()
    told(serving)
    distrust(1)
    serving.look()
    assert told(serving) == [(1, "version 1 is not believed", "")]
    distrust(2)
    serving.look()
    at = serving.lab.last().at
    why = f"version 2, champion since {at}, cannot be served: version 2 is not believed; {GOES_ON}"
    assert told(serving) == [(2, "version 2 is not believed", ""), (1, "", why)]


def test_what_took_over_is_what_shows_and_what_goes_on_after_a_restart(serving: Followed) -> None:
    state = serving.wanted.state
    other_model(serving, 3)
    serving.look()
    assert kept(state) == 1  # the new one has not answered yet
    again = serving.again()
    again.look()
    again.look()
    assert (again.version, kept(state)) == (2, 1)
    again.follower.took_over(7)  # never handed over
    again.follower.took_over(2)
    again.follower.look()
    assert kept(state) == 2
    again.write("rollback", 1)
    again.look()
    again.follower.took_over(1)
    told(again)
    again.lose_the_network()
    again.look()
    ((version, _, note),) = told(again)
    assert (version, note.endswith(GOES_ON)) == (1, True)
    assert kept(state) == 1
    again.promotions.close()


def test_a_rollback_to_what_shows_leaves_nothing_beside_it(serving: Followed) -> None:
    other_model(serving, 3)
    serving.look()
    serving.write("rollback", 1)
    serving.look()
    told(serving)
    serving.lose_the_network()
    serving.look()
    ((version, _, note),) = told(serving)
    assert (version, note.endswith(GOES_ON)) == (1, True)
    # It may have taken over a moment before it was withdrawn.
    serving.follower.took_over(2)
    serving.follower.look()
    assert [version for version, _, _ in told(serving)] == [1, 2]


def test_limits_of_an_operator_end_with_a_rollback_to_the_same_version_while_the_service_is_down(
    serving: Followed,
) -> None:
    begun: list[str] = []

    def begin(promoted: Promoted) -> None:
        """As the service shows it."""
        standing = SimpleNamespace(version=1, permit="")
        loop: Any = SimpleNamespace(contract=None, wiring=None, limits=None, standing=standing)
        records = SimpleNamespace(begin=lambda *told: begun.append(told[3]))
        assembly: Any = SimpleNamespace(
            _promoted_by={1: promoted.promotion}, _records=records, _follower=SimpleNamespace(pvs_ended=False)
        )
        _Assembly._adopt(assembly, loop)

    begin(serving.champions[0])
    again = serving.again()
    again.look()
    begin(again.champions[0])
    other_model(again, 3)
    again.write("rollback", 1)
    later = again.again()
    later.look()
    begin(later.champions[0])
    first, restarted, back = begun
    assert first == restarted
    assert back != first
    later.promotions.close()


def test_a_champion_that_is_replaced_while_it_is_prepared_is_not_handed_over(serving: Followed) -> None:
    other_model(serving, 3)
    serving.follower.look()
    serving.follower.settle(60)
    serving.write("rollback", 1)
    serving.follower.look()
    assert [champion.version for champion in serving.champions] == [1]


def test_retired_is_said_with_who_when_and_why(serving: Followed) -> None:
    serving.write("retire", reason="drifts\x1b[2J\u202e in the cold")
    standing = serving.look()
    at = serving.lab.last().at
    assert standing.retired
    assert standing.refused == (
        f"version 1 was retired by Ada Operator <ada@lab.example> at {at}: drifts⟨U+001B⟩[2J⟨U+202E⟩ in the cold"
    )
    again = serving.again()
    assert again.look() == standing
    assert again.version == 0
    assert again.declared[0].version == 1  # its PVs stay
    again.write("rollback", 1)
    assert (again.look().retired, again.version) == (False, 1)
    again.promotions.close()


def test_a_bypass_is_told_until_it_ends_and_no_longer_than_the_contract_allows(serving: Followed) -> None:
    serving.write("bypass", reason="a study\x1b[2J", alarm="score.high", until="9999-12-31T00:00:00Z")
    at = serving.lab.last().moment
    serving.follower._now = lambda: at
    (bypassed,) = serving.look().bypassed
    end = at + timedelta(days=7)
    assert bypassed.words == (
        f"bypassed until {end:%Y-%m-%dT%H:%M:%SZ} by Ada Operator <ada@lab.example>: a study⟨U+001B⟩[2J"
    )
    assert (serving.follower.standing.note, serving.follower.standing.refused) == ("", "")
    at = end
    assert serving.look().bypassed == ()
    assert serving.standings[-1].bypassed == ()


def test_a_successor_is_named_first_and_the_pvs_end_after_their_last_day(serving: Followed) -> None:
    """Of a message, channel access shows 39 bytes."""
    now, end = datetime(2027, 1, 30, 23, 59, 59, tzinfo=UTC), "2027-01-31T00:00:00Z"
    serving.follower._now = lambda: now
    serving.write("retire", successor="orbit-faults", until=end)
    standing = serving.look()
    assert standing.refused.startswith("use orbit-faults: version 1 was retired by Ada")
    assert standing.refused.endswith(f": drifts; its PVs end at {end}")
    assert (standing.retired, standing.ended, serving.follower.pvs_ended) == (True, False, False)
    now += timedelta(seconds=1)
    standing = serving.look()
    assert (standing.retired, standing.ended, serving.follower.pvs_ended) == (True, True, True)
    assert serving.standings[-1] == standing, "the service is told"
    serving.write("rollback", 1)
    standing = serving.look()
    assert (standing.refused, standing.ended, serving.follower.pvs_ended) == ("", False, False)


def test_a_version_that_takes_its_place_is_named_by_its_number(serving: Followed) -> None:
    other_model(serving, 3)
    serving.write("retire", 2, successor="1")
    assert serving.look().refused.startswith("use version 1: version 2 was retired by Ada")


@pytest.mark.parametrize("begun", [False, True])
def test_a_champion_that_was_retired_before_it_showed_is_said_on_its_pvs_after_a_restart(
    serving: Followed, *, begun: bool
) -> None:
    """Though another version was served before."""
    other_model(serving, 3)
    again = serving.again()
    order: list[str] = []
    again.follower._on_declared = lambda one: order.append(f"PVs of {one.version}")
    again.follower._on_standing = lambda one: order.append("retired" if one.retired else one.refused)
    if begun:  # retired while it is being prepared
        again.follower.look()
        again.follower.settle(60)
        assert order == ["version 1 is being prepared", "PVs of 1"]
    again.write("retire")
    again.look()
    again.look()
    shown = 1 if begun else 2
    assert order[-2:] == [f"PVs of {shown}", "retired"]  # PVs that say so after they are there
    assert (again.version, again.follower.standing.version) == (0, 2)
    again.promotions.close()


def test_the_champion_has_its_pvs_at_once_where_what_was_served_before_is_retired(
    serving: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.promote(3)
    serving.write("retire", 1)
    again = serving.again()
    declared: list[int] = []

    def prepare(*_: object) -> None:
        declared.extend(one.version for one in again.declared)
        raise Outside("the registry does not answer")

    monkeypatch.setattr(again.promotions, "prepare", prepare)
    again.look()
    assert declared == [2]
    again.promotions.close()


def test_what_is_retired_while_its_successor_cannot_be_served_names_it(
    serving: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise Outside("the registry does not answer")

    monkeypatch.setattr(serving.promotions, "prepare", unreachable)
    serving.promote(3)
    serving.write("retire", 1)
    standing = serving.look()
    assert standing.retired
    assert standing.refused.endswith("drifts; version 2 is champion now")


def test_when_the_champion_is_retired_before_it_was_served_nothing_is_in_service(serving: Followed) -> None:
    serving.promote(3)
    serving.write("retire")
    standing = serving.look()
    assert (standing.retired, serving.version) == (True, 1)
    assert standing.refused.startswith("version 2 was retired")


def test_frozen_promotions_are_a_note(serving: Followed) -> None:
    serving.write("freeze", reason="machine studies")
    standing = serving.look()
    assert standing.refused == ""
    assert standing.note.startswith("promotions were frozen by Ada Operator")
    assert standing.note.endswith("machine studies")
    assert standing.routine
    serving.lose_the_network()
    both = serving.look()
    assert standing.note in both.note
    assert not both.routine
    serving.find_the_network()
    serving.write("thaw")
    assert (serving.look().note, serving.look().routine) == ("", False)


@pytest.mark.truth("unreachable")
def test_a_ledger_that_alone_does_not_answer_leaves_the_version_in_service(
    serving: Followed, serve: Serve, truth: Situation
) -> None:
    serving.lose_the_network("origin.git")
    standing = serving.look()
    assert re.fullmatch(rf"the ledger has not answered since {TIME}; {GOES_ON}", standing.note)
    assert serving.look(3600) == standing  # the same words, for as long as it takes
    goes_on_and_says_so(serve(standing), truth, standing.note)
    serving.find_the_network()
    assert serving.look().note == ""
    assert len(serving.champions) == 1


@pytest.mark.truth("unreachable")
def test_a_registry_that_alone_does_not_answer_leaves_the_version_in_service(
    serving: Followed, serve: Serve, truth: Situation, in_this_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version in service needs nothing of it: its bytes are here."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr(serving.promotions, "wanted", replace(serving.wanted, registry=""))
    assert serving.look(EVERY_MINUTE - 1).note == ""
    standing = serving.look(1)
    silent = rf"the registry has not answered since {TIME}; {GOES_ON}"
    assert re.fullmatch(silent, standing.note)
    assert (standing.refused, standing.routine) == ("", False)
    assert serving.look(3600) == standing  # the same words, for as long as it takes
    goes_on_and_says_so(serve(standing), truth, standing.note)
    serving.promote(3)
    standing = serving.look()
    why = r"the registry http://127\.0\.0\.1:9 failed to return the bytes of version 2.*Connection refused"
    said = rf"{silent}; version 2, champion since {TIME}, cannot be served: {why}; {GOES_ON}"
    assert re.fullmatch(said, standing.note), standing.note
    assert (serving.version, standing.refused, standing.routine) == (1, "", False)
    goes_on_and_says_so(serve(standing), truth, standing.note)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", serving.lab.uri)
    serving.have_the_model()
    assert serving.look(FIRST).note == ""
    assert serving.version == 2


@pytest.mark.parametrize(
    ("status", "there"), [(200, True), (401, True), (404, True), (500, True), (502, False), (503, False), (504, False)]
)
def test_a_registry_is_there_whatever_it_says_but_not_its_proxy_alone(status: int, there: bool) -> None:
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any, **__: Any) -> None: ...

    with listening(Answer) as port:
        assert answers(f"http://ada:secret@127.0.0.1:{port}/mlflow/") is there
    assert asked == ["/mlflow/health None"]


def test_what_is_no_server_and_no_file_is_not_asked(tmp_path: Path) -> None:
    assert not answers(f"sqlite:///{tmp_path}/mlflow.db")
    (tmp_path / "mlflow.db").touch()
    assert answers(f"sqlite:///{tmp_path}/mlflow.db")
    for address in ("", "databricks", "postgresql://db.lab.example/mlflow", "http://[::1"):
        assert answers(address)


def goes_on_and_says_so(served: Served, truth: Situation, note: str) -> None:
    """What operators see of a champion with this note: its answers, STATUS and REASON, and what Prometheus reads."""
    metrics = Metrics("bpm-faults", lambda: served.loop)
    served.put()
    served.current()
    assert truth.holds(served.cycle().values["B2:FAULT"])
    served.at += 0.1
    served.put()
    metrics.publish(update := served.cycle())
    assert truth.holds(update.values["B2:FAULT"])
    assert update.health.version == 1
    assert (update.health.status, update.health.reason) == ("DEGRADED", note), "what the PVs STATUS and REASON show"
    read = metrics.text().decode()
    assert 'beampermit_status{model="bpm-faults",status="DEGRADED"} 1.0' in read
    assert 'beampermit_permitted{model="bpm-faults"} 1.0' in read


HELD = {"fallback": {"on_invalid": "hold", "hold_for": "1h"}}


def answered(serve: Serve) -> Served:
    """A champion whose contract would hold its values."""
    served = serve(Standing(1, "sha256:p"), **HELD)
    served.put()
    served.current()
    served.cycle()
    assert {value.origin for value in served.loop.shown().values()} == {"model"}
    return served


def shows_nothing_but_why(served: Served, truth: Situation, standing: Standing) -> None:
    """What operators see as soon as the loop is told this: nothing of before, and nobody asks the model."""
    asked = len(served.model.asked)
    served.loop.standing = standing
    served.at += 0.1
    served.put()
    served.current()
    update = served.cycle()
    assert len(update.values) == 2 * len(served.devices)
    for value in update.values.values():
        assert truth.holds(value)
        assert value.message == standing.refused
    assert len(served.model.asked) == asked
    assert update.health.status == ("RETIRED" if standing.retired else "INVALID")


def test_a_look_at_which_nothing_is_new_asks_git_for_no_more_than_what_is_new(
    serving: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.look()
    asked, own = list[str](), Git.try_

    def try_(git: Git, *words: str, **options: Any) -> Finished:
        asked.append(words[0])
        return own(git, *words, **options)

    monkeypatch.setattr(Git, "try_", try_)
    serving.look()
    assert asked == ["ls-remote"]


def test_a_bad_line_is_a_note_and_keys_count_nevertheless(serving: Followed) -> None:
    serving.lab.forge(serving.lab.last().model_copy(update={"sequence": 9}))
    note = serving.look().note
    assert note.startswith("the ledger cannot be read since 2")
    assert note.endswith("Z: ledger.jsonl:2: sequence is 9, but this is line 2; version 1 goes on")
    _, other = generate_keys(serving.lab.root.parent / "other")
    serving.lab.trust(other)
    assert "signed with an untrusted key" in serving.look().refused


def test_a_first_start_with_a_bad_line_says_so(followed: Followed) -> None:
    followed.have_the_model()
    followed.lab.forge(followed.lab.last().model_copy(update={"sequence": 9}))
    why = "no champion could be verified: ledger.jsonl:2: sequence is 9, but this is line 2"
    again = followed
    for _ in range(2):
        assert (again.look().refused, again.version) == (why, 0)
        again = again.again()
    again.lab.forge(back=1)
    assert (again.look().refused, again.version) == ("", 1)
    again.promotions.close()


def test_what_is_retired_stays_so_while_git_fails(serving: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise Outside("git: no space left on device")

    serving.write("retire")
    retired = serving.look()
    assert retired.retired
    monkeypatch.setattr(serving.promotions, "state", fail)
    assert serving.look() == retired


# Attacks


@pytest.mark.attack(
    guard="serve",
    tried="promotes a model with a permit that another key signed, by writing the line into the ledger's branch",
    said="its permit is signed with an untrusted key",
)
def test_a_permit_of_another_key_is_never_served(serving: Followed, said: str) -> None:
    forged = serving.lab.last().model_copy(update={"sequence": 2, "version": 2, "expected": 1})
    event, permit = sign_promotion(forged, {"weights.safetensors": f"sha256:{'1' * 64}"}, key=KEY)
    serving.lab.forge(event, permits={f"permits/{event.permit.removeprefix('sha256:')}.json": permit})
    standing = serving.look()
    assert (serving.version, standing.refused) == (1, "")
    assert standing.note.startswith(f"version 2, champion since {event.at}, cannot be served")
    assert said in standing.note
    assert not standing.routine
    # Nor by a service that never served another version.
    shutil.rmtree(serving.wanted.state)
    again = serving.again()
    standing = again.look()
    assert (again.version, standing.version) == (0, 2)
    assert standing.refused.startswith("no champion could be verified: version 2 of bpm-faults is not believed")
    again.promotions.close()


@pytest.mark.attack(
    guard="serve",
    tried="promotes a model without a permit, by writing the line into the ledger's branch",
    said="the ledger has no signed permit for it",
)
def test_a_line_without_a_permit_is_never_served(serving: Followed, said: str) -> None:
    none = f"sha256:{'7' * 64}"
    line = {"sequence": 2, "version": 2, "expected": 1, "permit": none, "by": "\x1b]0;owned\x07"}
    serving.lab.forge(serving.lab.last().model_copy(update=line))
    assert said in serving.look().note
    assert serving.version == 1


@pytest.mark.attack(
    guard="serve",
    tried="sets the ledger's branch back to before a retirement",
    said="was rewritten: it lacks events that this clone has read before",
)
def test_a_ledger_that_is_set_back_changes_nothing(
    serving: Followed, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    serving.write("retire")
    retired = serving.look()
    assert retired.retired
    serving.lab.forge(back=1)
    assert serving.look() == retired
    assert said in caplog.text


@pytest.mark.attack(
    guard="serve",
    tried="adds a bad line to the ledger after a retirement",
    said="sequence is 9, but this is line 3",
)
def test_a_retired_version_stays_retired_whatever_follows_in_the_ledger(
    serving: Followed, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    serving.write("retire")
    retired = serving.look()
    assert retired.retired
    serving.lab.forge(serving.lab.last().model_copy(update={"sequence": 9}))
    assert serving.look() == retired
    assert said in caplog.text
    again = serving.again()
    assert (again.look(), again.version) == (retired, 0)
    again.promotions.close()


@pytest.mark.attack(
    guard="serve",
    tried="adds a line to the ledger that cannot be read, and waits for a restart of the service",
    said="unknown event 'x': written by a newer beampermit, or damaged",
)
def test_a_bad_line_ends_no_version_in_service_and_a_repaired_ledger_is_followed(serving: Followed, said: str) -> None:
    """As a line of a newer Beampermit does not, for an older service."""
    serving.lab.forge(serving.lab.last().model_copy(update={"event": "x"}))
    assert said in serving.look().note
    again = serving.again()
    standing = again.look()
    assert (again.version, standing.refused) == (1, "")
    assert said in standing.note
    assert standing.note.endswith("version 1 is served as it was last verified here")
    again.lab.forge(back=1)
    assert (again.look().note, again.version) == ("", 1)
    # Whoever repairs it fetches what is there now.
    again.lab.git("fetch", "--quiet", "origin", "+refs/heads/beampermit-ledger:refs/remotes/origin/beampermit-ledger")
    again.write("retire")
    assert again.look().retired
    again.promotions.close()


@pytest.mark.attack(
    guard="serve",
    tried="rewrites the ledger, so that the service does not see that a key was taken out, and cuts the network",
    said="its permit is signed with an untrusted key",
)
def test_keys_are_followed_although_the_ledger_was_rewritten(serving: Followed, said: str) -> None:
    serving.write("freeze")
    serving.look()
    serving.lab.forge(back=1)
    standing = serving.look()
    assert (standing.refused, "was rewritten" in standing.note) == ("", True)
    serving.lab.trust(serving.lab.new_key("new")[1])
    assert said in serving.look().refused
    serving.lose_the_network()
    again = serving.again()
    assert said in again.look().refused
    assert again.version == 0
    again.promotions.close()


@pytest.mark.attack(
    guard="serve",
    tried="changes the bytes of the champion on the service's disk",
    said="this file differs from the one that the permit binds",
)
@pytest.mark.truth("wrong bytes")
@pytest.mark.usefixtures("in_this_process")
def test_changed_bytes_are_not_loaded(serving: Followed, serve: Serve, truth: Situation, said: str) -> None:
    (champion,) = serving.champions
    weights = champion.folder / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Failed, match=said):
        champion.verify()
    serving.lose_the_network()
    again = serving.again()
    standing = again.look()
    assert "the copy on this machine has other bytes as well" in standing.refused
    assert again.version == 0
    shows_nothing_but_why(serve(standing, **HELD), truth, standing)
    again.promotions.close()


@pytest.mark.attack(
    guard="serve",
    tried="changes the bytes of the champion in the registry",
    said="holds other bytes for bpm-faults version 1 than the permit binds",
)
@pytest.mark.usefixtures("in_this_process")
def test_other_bytes_of_the_registry_are_not_served_and_right_ones_are_fetched_again(
    followed: Followed, said: str
) -> None:
    (weights,) = (followed.lab.root.parent / "mlartifacts").rglob("weights.safetensors")
    right = weights.read_bytes()
    weights.write_bytes(right + b" ")
    assert said in followed.look().refused
    weights.write_bytes(right)
    spoiled = followed.have_the_model()
    (spoiled / "weights.safetensors").write_bytes(b"")
    assert followed.look(FIRST).refused == ""
    assert (followed.version, followed.champions[0].folder) == (1, spoiled)


@pytest.mark.attack(
    guard="serve",
    tried="packages a model with another contract than that of its commit",
    said="the contract that is packaged with the model is not that of its commit",
)
def test_another_packaged_contract_never_replaces_the_champion(serving: Followed, said: str) -> None:
    packaged = serving.lab.root / "model/artifacts/contract.yaml"
    packaged.write_text(packaged.read_text().replace("hihi: 0.9", "hihi: 0.99"))
    other_model(serving, 3)
    standing = serving.look()
    assert (serving.version, standing.refused) == (1, "")
    assert said in standing.note
    assert standing.note.endswith(GOES_ON)
    # After a restart as well, what was served goes on.
    again = serving.again()
    again.look()
    assert (again.look().version, again.version, again.look().refused) == (1, 1, "")
    assert said in again.follower.standing.note
    again.promotions.close()


@pytest.mark.usefixtures("in_this_process")
def test_a_retired_version_does_not_come_back_because_its_successor_cannot_be_served(
    serving: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.promote(3)
    serving.write("retire", 1)
    again = serving.again()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{serving.lab.uri}.away")
    for _ in range(2):
        assert "no champion could be verified" in again.look().refused
    assert again.version == 0
    again.promotions.close()


@pytest.mark.usefixtures("in_this_process")
def test_an_environment_that_is_there_is_told_of_before_a_byte_is_here(serving: Followed) -> None:
    """But of a permit that is believed: what begins then is for this version, and ends with it."""
    serving.begun.clear()
    serving.promote(3)  # in the ledger alone: the registry does not have it
    serving.look()
    assert (serving.version, serving.begun, serving.unused) == (1, [(2, False)], 1)
    again = serving.again()
    again.look()
    # The champion is tried anew beside it, in a thread.
    assert (again.version, again.begun[0], again.unused) == (1, (1, True), 0)
    assert {*again.begun[1:]} <= {(2, False)}
    again.promotions.close()


@pytest.mark.parametrize(
    ("bound", "other"),
    [
        attack_case(
            "environment",
            "pyproject.toml",
            guard="serve",
            tried="signs another lock than that of the commit, with a stolen key",
            said="this file differs from the one that the permit binds",
        ),
        attack_case(
            "contract",
            "losses/contract.yaml",
            guard="serve",
            tried="signs the contract of another project of the repository, with a stolen key",
            said="the permit is for model 'bpm-faults', not for 'bpm-losses'",
        ),
    ],
)
def test_a_permit_that_is_not_of_its_commit_is_refused(followed: Followed, said: str, bound: str, other: str) -> None:
    lab = followed.lab
    (lab.root / "losses").mkdir()
    for name in ("contract.yaml", "uv.lock", "devices.csv"):
        text = (lab.root / name).read_text()
        (lab.root / "losses" / name).write_text(text.replace("name: bpm-faults", "name: bpm-losses"))
    lab.change(3)
    plain = lab.sign().statement.predicate
    changed = BoundFile(file=getattr(plain, bound).file, digest=digest_file(lab.root / other))
    base = changed.digest if bound == "contract" else plain.base_contract
    predicate = plain.model_copy(update={bound: changed, "base_contract": base})
    like = lab.sign().statement.model_copy(update={"predicate": predicate})
    commit = lab.project.git.head()
    line = lab.last().model_copy(update={"sequence": 2, "version": 2, "expected": 1, "commit": commit})
    event, permit = sign_promotion(line, manifest(lab.root / "model"), like, load_signing_key(str(lab.key)))
    lab.forge(event, permits={f"permits/{event.permit.removeprefix('sha256:')}.json": permit})
    assert said in followed.look().refused
    assert not followed.begun, "nothing is started for it, not even its environment's Python"


def test_a_commit_without_its_device_table_cannot_be_served(followed: Followed) -> None:
    (followed.lab.root / "devices.csv").unlink()
    followed.promote(3)
    assert "does not have the device table" in followed.look().refused


@pytest.mark.usefixtures("in_this_process")
def test_after_a_restart_the_version_that_was_served_is_shown_where_the_champion_cannot_be(serving: Followed) -> None:
    """Its PVs, and no others: the champion's may be others, and its limits would end those of operators."""
    serving.promote(3)
    shutil.rmtree(serving.lab.home / "mlartifacts")
    again = serving.again()
    again.look()
    assert "cannot be served" in again.look().note
    assert [declared.version for declared in again.declared] == [1]
    assert again.version == 1
    again.promotions.close()


def test_after_a_restart_the_version_that_answered_last_begins_and_the_champion_runs_beside_it(
    serving: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    """A champion that can be prepared, and maybe never answers, gets nothing by a restart."""
    caplog.set_level("INFO", "beampermit")
    other_model(serving, 3)
    again = serving.again()
    again.follower.look()
    assert again.follower.standing.refused == "version 1 is being prepared"
    again.follower.settle(60)
    again.follower.look()
    assert (again.version, again.standings[-1].version) == (1, 1)
    assert "version 1 begins: it answered last before this start" in caplog.text
    champion = f"version 2 is champion since {again.lab.last().at}"
    assert again.standings[-1].note == f"{champion}; version 1 answered last, and goes on until it answers"
    assert again.standings[-1].routine
    again.look()
    assert [one.version for one in again.champions] == [1, 2]
    assert again.standings[-1].note == f"{champion} and runs beside it"
    assert again.standings[-1].routine
    again.follower.took_over(2)
    again.follower.look()
    assert (again.follower.standing.note, kept(again.wanted.state)) == ("", 2)
    again.promotions.close()


@pytest.mark.parametrize("kind", ["retire", "rollback"])
def test_after_a_restart_nothing_begins_that_the_ledger_took_back(
    serving: Followed, kind: Literal["retire", "rollback"]
) -> None:
    other_model(serving, 3)
    serving.look()
    serving.follower.took_over(2)
    serving.follower.look()
    assert kept(serving.wanted.state) == 2
    serving.write(kind, 1 if kind == "rollback" else 2)
    if kind == "retire":
        serving.write("rollback", 1)
    again = serving.again()
    again.look()
    assert [one.version for one in again.champions] == [1]
    assert [one.version for one in again.declared] == [1]
    again.promotions.close()


def test_what_was_rolled_back_does_not_go_on_where_the_champion_cannot_be_served(
    serving: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_model(serving, 3)
    serving.look()
    serving.follower.took_over(2)
    serving.follower.look()
    serving.write("rollback", 1)
    again = serving.again()

    def unreachable(*_: object) -> None:
        raise Outside("the registry does not answer")

    monkeypatch.setattr(again.promotions, "prepare", unreachable)
    for _ in range(2):
        assert "no champion could be verified: the registry does not answer" in again.look(FIRST).refused
    assert {one.version for one in again.declared} == {1}
    again.promotions.close()


def test_what_a_rollback_went_back_to_may_go_on(serving: Followed) -> None:
    other_model(serving, 3)
    serving.write("rollback", 1)
    other_model(serving, 4)
    again = serving.again()
    again.look()
    assert again.version == 1
    again.promotions.close()


def test_where_what_answered_last_cannot_be_prepared_the_champion_begins(
    serving: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_model(serving, 3)
    again = serving.again()
    prepare = again.promotions.prepare

    def fail(declared: Declared, *rest: Any) -> Promoted:
        if declared.version == 1:
            raise Failed("its environment cannot be installed")
        return prepare(declared, *rest)

    monkeypatch.setattr(again.promotions, "prepare", fail)
    again.look()
    again.look()
    assert again.version == 2
    again.promotions.close()


def test_what_could_not_begin_in_the_service_is_said_and_handed_over_again(serving: Followed) -> None:
    follower = serving.follower
    follower.gave_up(1, Failed("an order came twice"))
    follower.look()
    assert not follower._failures, "it shows"
    other_model(serving, 3)
    serving.look()
    told(serving)
    follower.gave_up(1, Failed("not this one"))  # it shows
    follower.gave_up(7, Failed("never handed over"))
    follower.look()
    assert follower.current == serving.champions[1]
    follower.gave_up(2, Failed("no port"))
    follower.look()
    assert follower.current == serving.champions[0]
    at = serving.lab.last().at
    assert told(serving) == [(1, "", f"version 2, champion since {at}, cannot be served: no port; {GOES_ON}")]
    serving.look(FIRST - 1)
    assert len(serving.champions) == 2
    serving.look(1)
    assert [one.version for one in serving.champions] == [1, 2, 2]
    follower.gave_up(2, Failed("no port"))
    follower.look()
    serving.look(2 * FIRST - 1)
    assert len(serving.champions) == 3, "each time later"
    serving.look(1)
    assert len(serving.champions) == 4


# Keys


def without_keys(service: Followed) -> None:
    git = service.lab.git
    git("rm", "--quiet", ".github/permit.pub")
    git("commit", "--quiet", "--message", "No keys")
    git("push", "--quiet", "origin", "main")


@pytest.mark.truth("key gone")
def test_a_key_that_is_taken_out_ends_what_it_signed_until_it_is_signed_again(
    serving: Followed, serve: Serve, truth: Situation
) -> None:
    private, public = serving.lab.new_key("new")
    serving.lab.trust(public)
    standing = serving.look()
    assert "its permit is signed with an untrusted key" in standing.refused
    assert not standing.retired
    shows_nothing_but_why(answered(serve), truth, standing)
    # Also where nothing answers: keys are those that were fetched last.
    serving.lose_the_network()
    again = serving.again()
    standing = again.look()
    assert "signed with an untrusted key" in standing.refused
    assert again.version == 0
    shows_nothing_but_why(serve(standing, **HELD), truth, standing)
    again.find_the_network()
    again.lab.re_sign(1, private)
    assert (again.look().refused, again.version) == ("", 1)
    again.promotions.close()


@pytest.mark.parametrize(
    "act",
    [
        truth_case("no permit", without_keys, measured=True),
        truth_case("key gone", lambda on: on.lab.trust(on.lab.new_key("new")[1]), measured=True),
        truth_case("key gone", lambda on: on.lab.trust(on.lab.public, prefix=EXPIRED), measured=True),
        truth_case("retired", lambda on: on.write("retire"), measured=True),
    ],
)
def test_what_ends_a_version_is_shown_within_the_time_between_two_looks(
    serving: Followed, serve: Serve, truth: Situation, act: Callable[[Followed], object]
) -> None:
    served = answered(serve)
    told: queue.SimpleQueue[Standing] = queue.SimpleQueue()
    follower = Follower(serving.promotions, lambda *_: None, told.put, every=EVERY)
    follower.start()
    try:
        until(lambda: follower.shows is not None, PATIENCE)
        act(serving)
        began = time.monotonic()
        while not (standing := told.get(timeout=PATIENCE)).refused:
            pass
        shows_nothing_but_why(served, truth, standing)
        assert time.monotonic() - began < EVERY + ALLOWANCE
    finally:
        follower.close()


def test_a_champion_whose_key_is_taken_out_while_it_is_prepared_is_not_handed_over(serving: Followed) -> None:
    other_model(serving, 3)
    serving.follower.look()
    serving.follower.settle(60)
    serving.lab.trust(serving.lab.new_key("new")[1])
    serving.follower.look()
    assert [champion.version for champion in serving.champions] == [1]
    assert "signed with an untrusted key" in serving.follower.standing.refused


@pytest.mark.truth("key gone")
def test_a_key_vouches_for_what_was_issued_until_its_last_day(
    serving: Followed, serve: Serve, truth: Situation
) -> None:
    today = datetime.now(UTC)
    for day, refused in ((today, False), (today - timedelta(days=1), True)):
        serving.lab.trust(serving.lab.public, prefix=f"not-after: {day:%Y-%m-%d}\n")
        standing = serving.look()
        assert ("is valid until" in standing.refused) is refused, standing
    shows_nothing_but_why(answered(serve), truth, standing)


def test_no_key_at_all_ends_the_service(serving: Followed) -> None:
    without_keys(serving)
    assert serving.look().refused.startswith("no permit of the ledger can be verified")


# What goes wrong meanwhile


def test_a_start_does_not_wait_for_a_dead_network_and_follows_a_slow_one(
    serving: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def silent(patience: float) -> None:
        waited.append(patience)
        raise Outside("origin does not answer")

    def fail(*_: object) -> None:
        raise Outside("the registry does not answer")

    again = serving.again()
    monkeypatch.setattr(again.promotions, "look", silent)
    assert (again.look().refused, again.version, waited) == ("", 1, [SOON, SOON])
    again.follower.look()
    assert waited[2:] == [PATIENCE], "it serves"
    again = again.again()
    monkeypatch.setattr(again.promotions, "look", silent)
    monkeypatch.setattr(again.promotions, "prepare", fail)
    again.look()
    again.look(BEGINS)
    assert waited[3:5] == [SOON, SOON]
    assert waited[5:] == [PATIENCE] * len(waited[5:]), "what is new may repair it"
    again.promotions.close()


def test_what_cannot_begin_is_tried_again_later_each_time(serving: Followed) -> None:
    asked: list[int] = []

    def refuse(promoted: Promoted, _: object) -> None:
        asked.append(promoted.version)
        raise Failed("FAULT is served already") if len(asked) == 1 else RuntimeError("no port")

    serving.follower._on_champion = refuse
    other_model(serving, 3)
    standing = serving.look()
    assert "cannot be served: FAULT is served already" in standing.note
    assert serving.follower.current == serving.champions[0]
    serving.look(FIRST - 1)
    assert asked == [2]
    assert "cannot be served: RuntimeError: no port" in serving.look(1).note
    assert serving.follower.current == serving.champions[0]
    assert asked == [2, 2]
    serving.look(2 * FIRST - 1)
    assert asked == [2, 2]
    serving.look(1)
    assert asked == [2, 2, 2]


def test_a_surprise_while_preparing_leaves_the_version_in_service(
    serving: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*_: object) -> None:
        raise ZeroDivisionError("by \x1b[31m0")

    monkeypatch.setattr(serving.promotions, "prepare", surprise)
    other_model(serving, 3)
    standing = serving.look()
    assert (serving.version, standing.refused) == (1, "")
    assert "cannot be served: ZeroDivisionError: by ⟨U+001B⟩[31m0" in standing.note


def test_what_a_killed_service_left_is_cleared_away(serving: Followed) -> None:
    state = serving.wanted.state
    mirror = next(state.glob("ledger-*"))
    left = [state / ".begun-a/made", state / "commits/.begun-b", serving.models / ".fetch-c/model"]
    for folder in left:
        folder.mkdir(parents=True)
    (mirror / ".git/shallow.lock").touch()
    (mirror / ".git/refs/remotes/origin/beampermit-ledger.lock").touch()
    (state / "served.json").write_text('{"event": "pro')
    other_model(serving, 3)
    again = serving.again()
    assert (again.look().refused, again.version) == ("", 2)
    assert not any(folder.exists() for folder in left)
    again.promotions.close()


def test_what_cannot_be_kept_for_the_next_start_is_served_nevertheless(
    followed: Followed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("beampermit.live.promoted.served.write_json", full)
    followed.have_the_model()
    assert (followed.look().refused, followed.version) == ("", 1)
    assert "version 1 cannot be kept for the next start: No space left on device" in caplog.text


def test_the_thread_follows_and_ends(serving: Followed, wanted: Wanted) -> None:
    serving.promotions.close()
    versions: list[int] = []
    with Promotions(wanted) as promotions:
        follower = Follower(promotions, lambda one, _: versions.append(one.version), lambda _: None, every=0.05)
        follower.start()
        deadline = datetime.now(UTC) + timedelta(seconds=60)
        while not versions and datetime.now(UTC) < deadline:
            follower._wake.wait(0.05)
        follower.close()
        assert versions == [1]
        assert not follower._thread.is_alive()


def test_a_switch_counts_at_once_and_at_the_end(serving: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls does not wait for the ledger or the disk."""
    follower, looks, callers = serving.follower, threading.Semaphore(0), list[str]()
    follower._every = 3600.0
    monkeypatch.setattr(serving.promotions, "look", lambda _: looks.release())
    monkeypatch.setattr(follower, "_keep", lambda _: callers.append(threading.current_thread().name))
    follower.start()
    assert looks.acquire(timeout=30)
    follower.took_over(1)
    assert looks.acquire(timeout=30)
    follower._closed.set()
    follower.took_over(1)
    follower.close()
    assert callers == [follower._thread.name] * 2
