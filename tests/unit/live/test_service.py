"""Orders to a service: begin, promote, roll back, run a challenger, start again; with threads, without a network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from beampermit.errors import BadInput
from beampermit.live.lane import Lane
from beampermit.live.latest import Latest
from beampermit.live.loop import Loop, Standing
from beampermit.live.service import LoopEnded, Publish, Service, StartAgain
from beampermit.live.switch import Switch
from beampermit.live.trigger import Trigger
from beampermit.live.update import Update
from beampermit.live.wiring import Wiring, wire
from support.served import DEVICES, Doubling, served_contract

PATIENCE = 20.0


class Beam:
    """A source that sends the same turns every 5 ms."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def start(self, latest: Latest, wiring: Wiring, trigger: Trigger) -> None:
        self._thread = threading.Thread(target=self._send, args=(latest,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self, latest: Latest) -> None:
        while not self._stop.wait(0.005):
            for device in range(len(DEVICES)):
                latest.put(0, device, (1.0, 2.0, 3.0), time.time(), 0)
            latest.put(1, 0, 300.0, time.time(), 0)


@dataclass
class Playing:
    """A service in a thread; `promoted(n)` is a version of it, `models` are those that were loaded."""

    service: Service
    promoted: Callable[..., Any]
    models: dict[int, Doubling]
    updates: list[Update]
    closed: list[int]
    adopted: list[int]
    fits: list[bool] = field(default_factory=lambda: [True])
    ended: list[BaseException | None] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)
    """How many loops had been shown each time that the service said that it has none."""
    thread: threading.Thread | None = None

    def run(self) -> None:
        try:
            self.service.run()
            self.ended.append(None)
        except Exception as error:
            self.ended.append(error)

    def until(self, what: Callable[[], bool]) -> None:
        """Wait for it, at most `PATIENCE`."""
        end = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < end, (what, self.ended, self.updates[-1:])
            time.sleep(0.01)

    def serves(self, version: int) -> bool:
        return bool(self.updates) and self.updates[-1].health.version == version


@pytest.fixture
def playing(tmp_path: Path, contract_text: str) -> Iterator[Playing]:
    (tmp_path / "devices.csv").write_text("device\n" + "\n".join(DEVICES) + "\n")
    contract = served_contract(contract_text, serving={"shadow": 3})
    models, updates, closed, adopted = dict[int, Doubling](), list[Update](), list[int](), list[int]()
    fits = [True]

    def promoted(version: int) -> Any:
        return SimpleNamespace(version=version, contract=contract, root=tmp_path)

    def make_lane(promoted: Any, standing: Standing, publish: Publish) -> Lane:
        if error := getattr(promoted, "fails", None):
            raise error
        model = models.setdefault(promoted.version, Doubling())
        loop = Loop(contract, wire(contract, tmp_path), model, standing, publish)
        return Lane(f"version {promoted.version}", loop, [Beam()], lambda: closed.append(promoted.version))

    sink = SimpleNamespace(publish=updates.append)
    service = Service(
        Switch([sink]),  # pyright: ignore[reportArgumentType]
        make_lane,
        fits=lambda promoted: fits[0],
        adopt=lambda loop: adopted.append(loop.standing.version),
        failed=lambda version, error: one.failed.append((version, str(error))),
        idle=lambda: one.idle.append(len(adopted)),
    )
    one = Playing(service, promoted, models, updates, closed, adopted, fits)
    one.thread = threading.Thread(target=one.run, daemon=True)
    one.thread.start()
    one.service.declare(promoted(3), Standing(3, "sha256:3", refused="version 3 is being prepared"))
    one.until(lambda: bool(updates))
    assert updates[0].health.reason.startswith("version 3 is being prepared")
    one.service.promote(promoted(3), Standing(3, "sha256:3"))
    one.until(lambda: one.serves(3))
    yield one
    one.service.stop()
    one.thread.join(PATIENCE)
    assert not one.thread.is_alive()
    for pv in {pv for update in updates for pv in update.values}:
        times = [update.values[pv].time for update in updates if pv in update.values]
        assert times == sorted(set(times)), f"an archiver would drop values of {pv}"


def test_a_new_champion_takes_over_and_the_old_one_ends(playing: Playing) -> None:
    playing.service.promote(playing.promoted(4), Standing(4, "sha256:4"))
    playing.until(lambda: playing.serves(4) and playing.closed == [3, 3])
    versions = [update.health.version for update in playing.updates if update.health.version]
    assert versions == sorted(versions)
    assert playing.adopted == [3, 3, 4]
    assert all(value.origin == "model" for value in playing.updates[-1].values.values())


def test_a_rollback_goes_the_same_way(playing: Playing) -> None:
    playing.service.promote(playing.promoted(4), Standing(4, "sha256:4"))
    playing.until(lambda: playing.serves(4))
    playing.service.promote(playing.promoted(3), Standing(3, "sha256:3"))
    playing.until(lambda: playing.serves(3))
    playing.until(lambda: playing.adopted == [3, 3, 4, 3])


def test_it_is_idle_until_a_version_begins(playing: Playing) -> None:
    """Nobody else can say that it lives, and the loop alone can once there is one."""
    assert set(playing.idle) == {0}


def test_a_rollback_while_the_new_version_takes_over(playing: Playing) -> None:
    """The order is carried out after the switch was made, and before the service heard of it."""
    took_over = playing.service._took_over
    playing.service._took_over = lambda running: None  # pyright: ignore[reportAttributeAccessIssue]
    playing.service.promote(playing.promoted(4), Standing(4, "sha256:4"))
    playing.until(lambda: playing.serves(4))
    playing.service._took_over = took_over
    playing.service.promote(playing.promoted(3), Standing(3, "sha256:3"))
    playing.until(lambda: playing.serves(3))
    playing.until(lambda: playing.closed == [3, 3, 4])


def test_a_version_that_the_ledger_takes_back_before_it_took_over_ends(playing: Playing) -> None:
    playing.models[4] = Doubling(fails="the model raised ValueError: no")
    playing.service.promote(playing.promoted(4), Standing(4, "sha256:4"))
    playing.until(lambda: "version 4" in playing.updates[-1].health.shadow)
    playing.service.promote(playing.promoted(3), Standing(3, "sha256:3"))
    playing.until(lambda: playing.closed == [3, 4] and not playing.updates[-1].health.shadow)
    assert playing.serves(3)


@pytest.mark.slow
def test_a_challenger_runs_beside_the_champion_until_the_next_promotion(playing: Playing) -> None:
    playing.service.challenge(playing.promoted(5), Standing(5, "sha256:5"))
    playing.until(lambda: playing.updates[-1].health.shadow.startswith("version 5: "))
    beside = len(playing.updates)
    playing.until(lambda: len(playing.updates) > beside + 20)
    assert playing.serves(3)
    playing.service.promote(playing.promoted(5), Standing(5, "sha256:5"))
    playing.until(lambda: playing.serves(5))


def test_a_challenger_that_may_not_run_any_more_ends(playing: Playing) -> None:
    playing.service.challenge(playing.promoted(5), Standing(5, "sha256:5"))
    playing.until(lambda: playing.updates[-1].health.shadow.startswith("version 5: "))
    playing.service.end_challenge()
    playing.until(lambda: playing.closed == [3, 5] and not playing.updates[-1].health.shadow)


def test_a_challenger_goes_on_beside_the_next_champion(playing: Playing) -> None:
    playing.service.challenge(playing.promoted(5), Standing(5, "sha256:5"))
    playing.until(lambda: playing.updates[-1].health.shadow.startswith("version 5: "))
    playing.service.promote(playing.promoted(4), Standing(4, "sha256:4"))
    playing.until(lambda: playing.serves(4))
    playing.until(lambda: playing.updates[-1].health.shadow.startswith("version 5: "))
    assert " of " not in playing.updates[-1].health.shadow, "it has no cycles to go"


def test_the_same_champion_once_more_leaves_the_challenger(playing: Playing) -> None:
    playing.service.challenge(playing.promoted(5), Standing(5, "sha256:5"))
    playing.service.promote(playing.promoted(3), Standing(3, "sha256:3"))
    playing.until(lambda: playing.updates[-1].health.shadow.startswith("version 5: "))


def test_a_version_that_cannot_begin_leaves_the_one_that_serves(
    playing: Playing, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = playing.promoted(4)
    faulty.contract = None
    faulty.fails = BadInput("tango://a/b has protocol tango; EPICS has pva and ca")
    playing.service.promote(faulty, Standing(4, "sha256:4"))
    playing.until(lambda: "a version cannot be served" in caplog.text)
    playing.until(lambda: playing.failed == [(4, str(faulty.fails))])
    beside = len(playing.updates)
    playing.until(lambda: len(playing.updates) > beside + 5)
    assert playing.serves(3)


def test_other_pvs_than_those_of_a_version_that_was_only_declared_need_a_new_start(playing: Playing) -> None:
    playing.service._current = replace(playing.service._current, serves=False)  # pyright: ignore[reportArgumentType]
    playing.fits[0] = False
    playing.service.promote(playing.promoted(4), Standing(4, "sha256:4"))
    playing.until(lambda: bool(playing.ended))
    assert isinstance(playing.ended[0], StartAgain)


def test_after_the_last_day_of_its_pvs_the_service_starts_again_without_them(playing: Playing) -> None:
    playing.service.end_pvs()
    playing.until(lambda: bool(playing.ended))
    assert str(playing.ended[0]) == "version 3 is retired, and the last day of its PVs is over"
    assert isinstance(playing.ended[0], StartAgain)


def test_what_is_said_of_the_champion_reaches_its_outputs(playing: Playing) -> None:
    playing.service.stand(Standing(3, "sha256:3", refused="retired by A: drifts", retired=True))
    playing.until(lambda: playing.updates[-1].health.status == "RETIRED")
    playing.service.stand(Standing(4, "sha256:4"))
    playing.service.stand(Standing(3, "sha256:3"))
    playing.until(lambda: playing.updates[-1].health.status == "SERVING")


def test_at_the_end_every_output_says_so(playing: Playing) -> None:
    playing.service.stop()
    playing.until(lambda: bool(playing.ended))
    last = playing.updates[-1]
    assert {(value.severity.name, value.message) for value in last.values.values()} == {
        ("INVALID", "the service has ended")
    }
    assert len(last.values) == 6


@pytest.mark.slow
def test_a_loop_that_dies_beside_the_champion_is_taken_away(playing: Playing, monkeypatch: pytest.MonkeyPatch) -> None:
    playing.service.challenge(playing.promoted(5), Standing(5, "sha256:5"))
    playing.until(lambda: playing.updates[-1].health.shadow.startswith("version 5: "))
    beside = playing.service._next
    assert beside
    monkeypatch.setattr(beside.lane.loop, "_failed", lambda *_: 1 / 0)
    monkeypatch.setattr(beside.lane.loop, "cycle", lambda *_: 1 / 0)
    playing.until(lambda: 5 in playing.closed and not playing.updates[-1].health.shadow)
    assert playing.serves(3)
    playing.until(lambda: playing.failed == [(5, "its loop ended, which is a defect of the service")])
    assert playing.service._challenger is None


def test_a_challenger_goes_on_beside_a_champion_that_could_not_begin(playing: Playing) -> None:
    playing.service.challenge(playing.promoted(5), Standing(5, "sha256:5"))
    playing.until(lambda: playing.updates[-1].health.shadow.startswith("version 5: "))
    faulty = playing.promoted(4)
    faulty.fails = BadInput("no such PV")
    playing.service.promote(faulty, Standing(4, "sha256:4"))
    playing.until(lambda: playing.failed == [(4, "no such PV")])
    playing.until(lambda: playing.closed.count(5) == 1 and playing.updates[-1].health.shadow.startswith("version 5: "))


def test_a_challenger_that_cannot_begin_is_no_failure_of_the_champion(playing: Playing) -> None:
    playing.service.promote(playing.promoted(4), Standing(4, "sha256:4"))
    faulty = playing.promoted(5)
    faulty.fails = BadInput("no such PV")
    playing.service.challenge(faulty, Standing(5, "sha256:5"))
    playing.until(lambda: playing.serves(4))
    playing.until(lambda: playing.failed == [(5, "no such PV")])
    assert playing.service._challenger is None


def test_a_surprise_while_a_version_begins_leaves_the_one_that_serves(playing: Playing) -> None:
    faulty = playing.promoted(4)
    faulty.fails = FileNotFoundError("devices.csv")
    playing.service.promote(faulty, Standing(4, "sha256:4"))
    beside = len(playing.updates)
    playing.until(lambda: len(playing.updates) > beside + 5)
    assert playing.serves(3)


def test_other_output_pvs_need_a_new_start_once_the_version_has_answered(playing: Playing) -> None:
    def told_beside() -> bool:
        return any(one.health.shadow.startswith("version 4: ") for one in playing.updates)

    def wait(answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        playing.until(told_beside)  # on a loaded machine all its answers may come between two of version 3
        return answers

    playing.models[4] = Doubling(gives=wait)
    playing.fits[0] = False
    playing.service.promote(playing.promoted(4), Standing(4, "sha256:4"))
    playing.until(lambda: bool(playing.ended))
    assert isinstance(playing.ended[0], StartAgain)
    assert playing.ended[0].declared.version == 4
    assert playing.closed == [3, 4, 3]
    assert told_beside()
    assert {one.health.version for one in playing.updates} == {0, 3}
    assert playing.adopted == [3, 3], "the records stay those of version 3"


def test_a_version_with_other_pvs_that_does_not_answer_ends_nothing(playing: Playing) -> None:
    playing.fits[0] = False
    playing.models[4] = Doubling(fails="the model cannot be loaded: no weights")
    playing.service.promote(playing.promoted(4), Standing(4, "sha256:4"))
    playing.until(lambda: playing.updates[-1].health.shadow.endswith("no weights"))
    beside = len(playing.updates)
    playing.until(lambda: len(playing.updates) > beside + 10)
    assert (playing.serves(3), playing.ended) == (True, [])
    playing.service.promote(playing.promoted(3), Standing(3, "sha256:3"))
    playing.until(lambda: playing.closed == [3, 4] and not playing.updates[-1].health.shadow)


def test_the_ledger_goes_back_in_the_moment_in_which_a_version_with_other_pvs_has_answered(playing: Playing) -> None:
    playing.fits[0] = False
    late: list[Callable[[], None]] = []
    order = playing.service._order

    def hold(carry_out: Callable[[], None], version: int = 0) -> None:
        if version:
            order(carry_out, version)
        else:
            late.append(carry_out)

    playing.service._order = hold  # pyright: ignore[reportAttributeAccessIssue]
    playing.service.promote(playing.promoted(4), Standing(4, "sha256:4"))
    playing.until(lambda: bool(late))
    playing.service.promote(playing.promoted(3), Standing(3, "sha256:3"))
    playing.until(lambda: playing.closed == [3, 4])
    for told in late:
        order(told)
    beside = len(playing.updates)
    playing.until(lambda: len(playing.updates) > beside + 5)
    assert (playing.serves(3), playing.ended) == (True, [])


@pytest.mark.slow
def test_a_loop_that_dies_ends_the_service(playing: Playing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "_failed", lambda *_: 1 / 0)
    monkeypatch.setattr(Loop, "cycle", lambda *_: 1 / 0)
    playing.until(lambda: bool(playing.ended))
    assert isinstance(playing.ended[0], LoopEnded)
