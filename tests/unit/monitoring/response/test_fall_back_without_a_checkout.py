"""A monitor that has no checkout goes back to the former champion in its copy of the ledger's repository."""

from __future__ import annotations

import itertools
import json
import logging
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from beampermit.alarm_outlets import responder_of
from beampermit.cli.main import app
from beampermit.contract import Contract, load_contract
from beampermit.documents.monitoring_page import monitoring_page
from beampermit.live.promoted import Promotions, Repository, Wanted
from beampermit.monitoring.response.journal import FallBack
from beampermit.monitoring.response.kept import Kept
from beampermit.monitoring.response.respond import Responder
from beampermit.monitoring.watched import Watch
from support.forked_commands import MLFLOW
from support.forked_pythons import forked
from support.github_stand_in import GitHub
from support.killed_responses import KILLS
from support.registry_project import MODEL, Laboratory
from support.responses import HOUR, NOW, result, trip

pytestmark = pytest.mark.slow
TRIPPED = trip("MON007", "score", version=2, level="MAJOR")
PROMOTED = [("promote", 1), ("promote", 2)]
WENT_BACK = [*PROMOTED, ("rollback", 1)]
FALLS_BACK = """
import json
from pathlib import Path

from beampermit.alarm_outlets import responder_of
from beampermit.contract import Contract
from beampermit.live.promoted import Promotions, Repository, Wanted
from beampermit.monitoring.watched import Watch
from beampermit.registry.ledger import Ledger
from beampermit.registry.mlflow import Registry
from beampermit.verdicts.monitoring import Trip

files = False  # of the journal: `test_killed.py` has them
for owner, name in (Ledger, "append"), *((Registry, name) for name in ("set_alias", "set_tags", "set_state", "tag")):
    ends(owner, name)
given = json.loads(sys.argv[2])
state = Path(given["state"])
with Promotions(Wanted(given["model"], Repository.named(given["origin"]), state / "ledger")) as promotions:
    watch = Watch(promotions)
    watch.look()
    contract, now = Contract.model_validate_json(given["contract"]), lambda: given["at"]
    rest = {"registry": given["registry"], "environment": {}, "clock": now}
    with responder_of(state, watch=watch, contract=contract, **rest) as responder:
        begin()
        responder.take([Trip.model_validate_json(given["trip"])])
        responder.work()
"""
NEEDS = ("beampermit.alarm_outlets", "beampermit.live.promoted", "httpx", *MLFLOW)
REFUSES = "#!/bin/sh\necho 'this account may only read' >&2\nexit 1\n"


@pytest.fixture
def twice(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Two versions promoted, the second in service."""
    return prepared("twice")


class Site:
    """A machine with the address of the ledger's repository, and with a clock that stands."""

    def __init__(self, lab: Laboratory, github: GitHub, folder: Path):
        self.lab, self.github, self.state, self.at = lab, github, folder, NOW
        self.origin = lab.root.parent / "origin.git"
        self.hook = self.origin / "hooks/pre-receive"
        self.served: int | None = None
        """The version in service, as this machine then sees it."""

    @property
    def contract(self) -> Contract:
        contract = load_contract(self.lab.root)
        response = contract.monitoring.response.model_copy(update={"fall_back": "MAJOR"})
        monitoring = contract.monitoring.model_copy(update={"response": response})
        return contract.model_copy(update={"monitoring": monitoring})

    @contextmanager
    def started(self) -> Iterator[Responder]:
        wanted = Wanted(MODEL, Repository.named(str(self.origin)), self.state / "ledger")
        github = {"GITHUB_TOKEN": "s3cret", "GITHUB_API_URL": self.github.url}
        with Promotions(wanted) as promotions:
            self.watch = Watch(promotions)
            self.watch.look()
            with responder_of(
                self.state,
                watch=self.watch,
                registry=self.lab.uri,
                contract=self.contract,
                repository=self.github.repository,
                environment=github,
                clock=lambda: self.at,
            ) as responder:
                yield responder

    def work(self, after: float = 0.0) -> FallBack | None:
        """What became of the trip, by a monitor that is started `after` so many s more."""
        self.at += after
        with self.started() as responder:
            responder.take([TRIPPED])
            responder.work()
            self.served = self.watch.look().champion_version
            return responder.kept.journal.alarms[0].fall_back

    @property
    def page(self) -> str:
        return monitoring_page(result(self.at), self.contract, told=Kept(self.state).journal.alarms)

    def refuse_pushes(self) -> None:
        self.hook.write_text(REFUSES)
        self.hook.chmod(0o755)


@pytest.fixture
def site(twice: Laboratory, github: GitHub, tmp_path: Path) -> Site:
    return Site(twice, github, tmp_path / "monitor")


def test_the_command_without_a_checkout_goes_back_once_and_people_can_undo_it(
    site: Site, twice: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "GITHUB_TOKEN", "GITHUB_REPOSITORY", "BEAMPERMIT_WEBHOOK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("socket.gethostname", lambda: "ioc-7")
    (tmp_path / "log").mkdir()
    with site.started() as responder:
        responder.take([TRIPPED])
    # Its own login is in variables of git: they have to reach what fetches and what pushes.
    address = "https://git.lab.example/ml/bpm-faults.git"
    git = {"COUNT": "1", "KEY_0": f"url.{site.origin}.insteadOf", "VALUE_0": address}
    for name, value in git.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    words = {"--model": MODEL, "--registry": twice.uri, "--ledger": address, "--state": str(site.state)}
    app(
        ["monitor", "--once", "--log", str(tmp_path / "log"), *(word for pair in words.items() for word in pair)],
        standalone_mode=False,
    )
    assert (twice.events(), twice.champion()) == (WENT_BACK, 1)
    assert twice.last().by == "beampermit monitor on ioc-7"
    assert twice.statuses() == {1: "champion", 2: "former"}
    said = "The monitor went back from version 2 to the former champion: rollback bpm-faults version 1"
    page = (site.state / "page.html").read_text()
    assert said in page
    assert "beampermit rollback --to 2 --reason WHY" in page

    other = Site(twice, site.github, tmp_path / "other")
    monkeypatch.setattr("socket.gethostname", lambda: "ioc-8")
    left = other.work()
    assert left == FallBack(state="left", text="version 1 is in service by now, and version 2 tripped")
    assert twice.events() == WENT_BACK
    twice.rollback(to=2, reason="the archiver was at fault")
    assert twice.champion() == 2


def test_where_the_push_is_refused_it_is_said_once_and_nothing_is_half_done(
    site: Site, twice: Laboratory, caplog: pytest.LogCaptureFixture
) -> None:
    site.refuse_pushes()
    caplog.set_level(logging.WARNING)
    for after in (0, HOUR, HOUR):
        failed = site.work(after)
    assert failed is not None
    assert failed.state == "failed"
    assert "refused the push to refs/heads/beampermit-ledger, the ledger was not changed: " in failed.text
    assert "this account may only read" in failed.text
    assert (twice.events(), twice.champion(), twice.statuses()) == (PROMOTED, 2, {1: "former", 2: "champion"})
    assert len([one for one in caplog.messages if "may only read" in one]) == 1
    assert site.page.count("MON007 score: The monitor could not go back to the former champion") == 1
    (issue,) = site.github.issues.values()
    assert issue["body"].count("The monitor could not go back to the former champion, and tries again: ") == 1
    assert not site.github.comments
    site.hook.unlink()
    assert site.work(HOUR) == FallBack(state="done", text="rollback bpm-faults version 1")
    assert site.served == 1
    (comment,) = site.github.comments.values()
    assert "The monitor went back from version 2 to the former champion" in comment["body"]
    assert twice.events() == WENT_BACK


def test_whoever_may_only_read_the_registry_changes_no_ledger(site: Site, twice: Laboratory) -> None:
    with closing(sqlite3.connect(twice.uri.removeprefix("sqlite:///"))) as base, base:
        base.execute(
            "CREATE TRIGGER denied BEFORE INSERT ON registered_model_tags "
            "BEGIN SELECT RAISE(ABORT, 'PERMISSION_DENIED'); END"
        )
    failed = site.work()
    assert failed is not None
    assert (failed.state, "PERMISSION_DENIED" in failed.text) == ("failed", True), failed
    assert (twice.events(), twice.champion()) == (PROMOTED, 2)


def test_killed_at_each_step_it_is_finished_by_the_next_run_and_done_once(
    prepared: Callable[..., Laboratory], github: GitHub, tmp_path: Path
) -> None:
    left: list[tuple[int, bool]] = []
    for steps in itertools.count():
        lab = prepared("twice", into=tmp_path / f"killed-at-{steps}")
        site = Site(lab, github, lab.root.parent / "monitor")
        given = {
            "model": MODEL, "origin": str(site.origin), "state": str(site.state), "registry": lab.uri, "at": NOW,
            "contract": site.contract.model_dump_json(exclude_none=True), "trip": TRIPPED.model_dump_json(),
        }  # fmt: skip
        code, _, err = forked(KILLS + FALLS_BACK, steps, json.dumps(given), needs=NEEDS).finish()
        assert code in (0, -signal.SIGKILL), err
        left.append((len(lab.events()), lab.champion() == 1))
        with site.started() as responder:  # of version 1 there is no such alarm
            responder.take([TRIPPED.model_copy(update={"cleared": True})] if lab.champion() == 1 else [TRIPPED])
            responder.work()
            journal, said = responder.kept.journal, f"killed at step {steps}"
        assert (lab.events(), lab.statuses()) == (WENT_BACK, {1: "champion", 2: "former"}), said
        assert ([one.kind for one in journal.proposals], journal.tasks) == (["fall-back"], ()), said
        assert journal.alarms[0].fall_back == FallBack(state="done", text="rollback bpm-faults version 1"), said
        if code == 0:
            break
    assert {*left} == {(2, False), (3, False), (3, True)}, "killed before the ledger, before the registry, and after"


def test_a_ledger_with_a_bad_line_is_not_taken_over_and_a_retired_version_is_not_gone_back_to(
    site: Site, twice: Laboratory
) -> None:
    twice.retire(version=1)
    with site.started() as responder:
        before = site.watch.another_ledger().state(MODEL).events
        twice.forge(twice.last())
        responder.take([TRIPPED])
        responder.work()
        (failed,) = (alarm.fall_back for alarm in responder.kept.journal.alarms)
        assert failed is not None
        assert failed.state == "failed"
        assert failed.text == "sequence is 3, but this is line 4"
        assert site.watch.another_ledger().state(MODEL).events == before
    twice.forge(back=1)
    left = FallBack(state="left", text="there is no former champion to go back to that is believed and not retired")
    assert site.work(HOUR) == left
    assert twice.champion() == 2
