from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest

from beampermit.compute import collect
from beampermit.compute.claims import Claims
from beampermit.compute.collect import perform_all
from beampermit.compute.local import Local
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Ended, Unit, prepare, read_intermediate, read_result, stop_unit
from beampermit.compute.worker import store
from beampermit.errors import BadInput
from support.forked_pythons import forked, line_of
from support.units_of_work import lines_of, wait_for

Make = Callable[..., Unit]
X = {"x": 1}


@dataclass
class Planted:
    """Ends each attempt at once, as `ends` of the folder and the number of the attempt says; nothing runs."""

    ends: Callable[[Path, int], str] = lambda folder, _: store(folder, X) or ""
    slots: int = 2
    late: float = 0.0
    batches: list[int] = field(default_factory=list)
    attempts: dict[Path, int] = field(default_factory=dict)
    over: dict[Path, str] = field(default_factory=dict)
    cancelled: bool = False

    def submit(self, folders: Sequence[Path]) -> None:
        self.batches.append(len(folders))
        for folder in folders:
            self.attempts[folder] = self.attempts.get(folder, 0) + 1
            self.over[folder] = self.ends(folder, self.attempts[folder])

    def ended(self, wait: float) -> Mapping[Path, str]:
        over, self.over = self.over, {}
        if not over:
            time.sleep(min(wait, 0.01))
        return over

    def waiting(self) -> str:
        return "2 queued (Priority)" if not self.slots else ""

    def cancel(self) -> None:
        self.cancelled = True


def test_units_are_asked_for_as_slots_get_free(unit_of: Make, work: Path) -> None:
    """What is asked may depend on what ended."""
    told: list[int] = []
    asked: list[tuple[int, int]] = []

    def ask() -> Iterator[Unit]:
        for x in range(6):
            asked.append((x, len(told)))
            yield unit_of(x)

    for ended in perform_all(ask(), Planted(), work):
        assert ended.result == X
        told.append(ended.unit.request["x"])
    assert sorted(told) == list(range(6))
    assert all(x - 2 < ended <= x for x, ended in asked)


def test_all_at_once_where_an_executor_takes_all(unit_of: Make, work: Path) -> None:
    executor = Planted(slots=0)
    assert len([*perform_all((unit_of(x) for x in range(50)), executor, work)]) == 50
    assert executor.batches == [50]
    assert not executor.cancelled


def test_what_is_done_is_yielded_and_not_done_again(unit_of: Make, work: Path) -> None:
    units = [unit_of(x) for x in range(5)]
    assert [ended.reused for ended in perform_all(iter(units[:3]), Planted(), work)] == [False] * 3
    executor = Planted()
    again = [*perform_all(iter(units), executor, work)]
    assert sum(executor.batches) == 2
    assert {ended.unit.label: ended.reused for ended in again} == {
        f"number {x}": x < 3 for x in range(5)
    }  # fmt: skip


def test_a_failure_is_yielded_once_and_tried_again_by_the_next_run(unit_of: Make, work: Path) -> None:
    def fail(folder: Path, _: int) -> str:
        store(folder, reason="exit status 3\nno beam")
        return ""

    executor = Planted(fail)
    (ended,) = perform_all(iter([unit_of()]), executor, work)
    assert (ended.result, ended.reason, sum(executor.batches)) == (None, "exit status 3\nno beam", 1)
    # What is lost then is not taken for that failure.
    lossy = Planted(lambda folder, attempt: (store(folder, X) or "") if attempt > 1 else "")
    (ended,) = perform_all(iter([unit_of()]), lossy, work)
    assert (ended.result, ended.reused, sum(lossy.batches)) == (X, False, 2)


@pytest.mark.parametrize(("lost", "sound"), [(2, True), (3, False)])
def test_a_lost_unit_is_done_again_twice(unit_of: Make, work: Path, lost: int, sound: bool) -> None:
    def lose(folder: Path, attempt: int) -> str:
        (folder / "log.txt").write_text("epoch 7\n")
        if attempt > lost:
            store(folder, X)
        return "the node n7 failed"

    executor = Planted(lose)
    (ended,) = perform_all(iter([unit_of()]), executor, work)
    assert sum(executor.batches) == 3
    assert (ended.result is not None) == sound
    assert ended.reason == ("" if sound else "lost 3 times: the node n7 failed\nepoch 7")
    assert not (ended.folder / "claim").is_symlink()


def test_a_lost_unit_of_which_nothing_is_known(unit_of: Make, work: Path) -> None:
    (ended,) = perform_all(iter([unit_of()]), Planted(lambda *_: ""), work)
    assert ended.reason.startswith("lost 3 times: its worker ended without a word: killed, out of memory, or its node")


@pytest.mark.parametrize(("late", "attempts"), [(30.0, 1), (0.2, 2)])
def test_a_shared_folder_may_show_a_result_late(unit_of: Make, work: Path, late: float, attempts: int) -> None:
    said: list[str] = []

    def end(folder: Path, attempt: int) -> str:
        if attempt == 1:
            threading.Timer(0.6, store, (folder, X)).start()
        return ""

    executor = Planted(end, late=late)

    def show(step: str, done: int = 0, total: int = 0, /) -> None:
        said.append(step)

    if attempts > 1:  # too late: it is done again
        executor.ends = lambda folder, attempt: (store(folder, X) or "") if attempt > 1 else ""
    (ended,) = perform_all(iter([unit_of()]), executor, work, show)
    assert ended.result == X
    assert sum(executor.batches) == attempts
    assert any("number 3 has ended without a result so far" in step for step in said)


def test_the_same_unit_asked_for_twice_runs_once(unit_of: Make, work: Path) -> None:
    executor = Planted(slots=2)
    units = [unit_of(1), replace(unit_of(1), label="again"), unit_of(2)]
    ended = [*perform_all(iter(units), executor, work)]
    assert sorted(one.unit.label for one in ended) == ["again", "number 1", "number 2"]
    assert sum(executor.batches) == 2


def test_nothing_to_ask_for_yet(unit_of: Make, work: Path) -> None:
    told: list[Ended] = []

    def ask() -> Iterator[Unit | None]:
        yield unit_of(1)
        while not told:
            yield None
        yield unit_of(2)

    for ended in perform_all(ask(), Planted(), work):
        told.append(ended)
    assert len(told) == 2
    with pytest.raises(BadInput, match="nothing runs, and there is no further unit to wait for"):
        next(perform_all(iter([None]), Planted(), work))


def test_progress_says_what_runs_and_how_long(unit_of: Make, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "SHOWN", 0.0)
    said: list[tuple[str, int, int]] = []

    def end(folder: Path, _: int) -> str:
        result = None if len(said) == 2 else X
        store(folder, result, reason="" if result else "no beam")
        return ""

    def show(step: str, done: int = 0, total: int = 0, /) -> None:
        said.append((step, done, total))

    units = (unit_of(x) for x in range(4))
    assert len([*perform_all(units, Planted(end, slots=1), work, show, total=4, what="trials")]) == 4
    assert said[0] == ("trials: 1 running", 0, 4)
    assert said[1] == ("trials: 1 running, about 0 s left", 1, 4)
    assert said[3] == ("trials: 1 running, 1 failed, about 0 s left", 3, 4)
    said.clear()
    more = (unit_of(x) for x in range(10, 13))
    assert len([*perform_all(more, Planted(slots=0), work, show, what="seeds")]) == 3
    assert said[0][0] == "seeds: 3 submitted, 2 queued (Priority)"


def test_an_interrupt_cancels_and_gives_back(unit_of: Make, work: Path) -> None:
    executor = Planted(lambda *_: "", late=60.0)
    run = perform_all((unit_of(x) for x in count()), executor, work, watch=_interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(run)
    assert executor.cancelled
    claims = Claims(work)
    assert all(claims.take(unit_of(x).folder(work)) for x in range(2))
    claims.close()


def _interrupt(_: Mapping[Path, Unit]) -> None:
    raise KeyboardInterrupt


def test_who_stops_listening_cancels(unit_of: Make, work: Path) -> None:
    def end(folder: Path, _: int) -> str:
        if len(executor.attempts) == 1:
            store(folder, X)
        return ""

    executor = Planted(end, late=60.0)
    for _ in perform_all((unit_of(x) for x in range(5)), executor, work):
        break
    assert executor.cancelled


@pytest.mark.slow
def test_a_unit_is_stopped_by_who_watches(unit_of: Make, work: Path, tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    units = [unit_of(1, hold=str(tmp_path / "held"), values=[9.0]), unit_of(2)]

    def watch(running: Mapping[Path, Unit]) -> None:
        for folder in running:
            if read_intermediate(folder).get(0) == 9.0:
                stop_unit(folder)

    with Local(Resources(at_once=1)) as executor:
        first, second = perform_all(iter(units), executor, work, watch=watch)
    assert (first.stopped, first.result, first.unit.label) == (True, None, "number 1")
    assert second.result == {"x": 4}
    # What one study stopped is none of another's.
    (tmp_path / "held").unlink()
    with Local(Resources(at_once=1)) as executor:
        (again,) = perform_all(iter(units[:1]), executor, work)
    assert again.result == X


@pytest.mark.slow
def test_two_submitters_do_no_unit_twice(
    unit_of: Make, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "FOREIGN", 0.05)
    note = str(tmp_path / "ran")
    found: list[list[Ended]] = []

    def run() -> None:
        units = (unit_of(x, note=note, sleep=0.02, **({"exit": 1} if x == 3 else {})) for x in range(12))
        with Local(Resources(at_once=1)) as executor:
            found.append([*perform_all(units, executor, work)])

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    ran = sorted(map(int, lines_of(tmp_path / "ran")))
    assert [x for x in ran if x != 3] == [x for x in range(12) if x != 3]
    assert 1 <= ran.count(3) <= 2  # a failure that ended before the other one asked is tried again
    for ended in found:
        assert len(ended) == 12
        assert [one.unit.request["x"] for one in ended if one.result is None] == [3]
    assert any(one.reused for ended in found for one in ended)


def test_what_the_other_submitter_failed_at_is_not_tried_again(
    unit_of: Make, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "FOREIGN", 0.05)
    unit = unit_of()
    folder = unit.folder(work)
    prepare(unit, folder)
    store(folder, reason="of last year")
    other = Claims(work)
    assert other.take(folder)

    def end() -> None:
        store(folder, reason="no beam")
        other.give_back(folder)

    threading.Timer(0.3, end).start()
    executor = Planted()
    (ended,) = perform_all(iter([unit]), executor, work)
    assert (ended.reason, executor.batches) == ("no beam", [])
    assert other.take(folder)
    threading.Timer(0.3, other.give_back, (folder,)).start()
    (ended,) = perform_all(iter([unit]), executor, work)
    assert (ended.result, executor.batches) == (X, [1])
    (folder / "ended.json").unlink()
    assert other.take(folder)

    def prune() -> None:
        store(folder, reason="stopped", stopped=True)
        other.give_back(folder)

    threading.Timer(0.3, prune).start()
    (ended,) = perform_all(iter([unit]), executor, work)
    assert (ended.result, ended.stopped, executor.batches) == (X, False, [1, 1])
    other.close()


SUBMITTER = """\
import sys
from pathlib import Path
from beampermit.compute.collect import perform_all
from beampermit.compute.local import Local
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Unit
from beampermit.processes import ended_by_signals

work, tree, note, number = sys.argv[1:]
units = (Unit(f"number {x}", "job", {"x": x, "sleep": 0.05, "note": note}, Path(tree), "t") for x in range(int(number)))
with ended_by_signals(), Local(Resources(at_once=2)) as executor:
    for ended in perform_all(units, executor, Path(work)):
        print(ended.unit.label, ended.reused, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_was_ended_goes_on(how: signal.Signals, work: Path, tree: Path, tmp_path: Path) -> None:
    import psutil

    words, needs = (work, tree, tmp_path / "ran", 30), ("beampermit.compute.collect", "beampermit.compute.local")
    child = forked(SUBMITTER, *words, needs=needs)
    done = [line_of(child) for _ in range(6)]
    below = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(how)
    code, rest, _ = child.finish()
    assert code != 0
    assert not psutil.wait_procs(below, timeout=30)[1]
    code, again, _ = forked(SUBMITTER, *words, needs=needs).finish()
    assert code == 0
    reused = [line for line in again.splitlines() if line.endswith("True")]
    assert len([*again.splitlines()]) == 30
    assert {line.rsplit(" ", 1)[0] for line in [*done, *rest.splitlines()]} <= {
        line.rsplit(" ", 1)[0] for line in reused
    }
    ran = [*lines_of(tmp_path / "ran")]
    assert len(ran) - len(set(ran)) <= 2  # those that were running
    assert len(set(ran)) == 30


@pytest.mark.slow
def test_a_full_disk_is_a_reason(unit_of: Make, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("beampermit.compute.worker.store", full)
    with Local(Resources(at_once=1)) as executor:
        (ended,) = perform_all(iter([unit_of()]), executor, work)
    assert ended.reason.startswith(f"lost 3 times: {ended.folder}: no space left on device")
    monkeypatch.setattr("beampermit.compute.unit.write_bytes", full)
    executor = Planted()
    with pytest.raises(OSError, match="No space left") as caught:
        next(perform_all(iter([unit_of(4)]), executor, work))
    assert caught.value.filename == str(unit_of(4).folder(work))
    assert executor.cancelled
    assert not (unit_of(4).folder(work) / "claim").is_symlink()


def test_a_fault_of_ours_ends_no_slot(unit_of: Make, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beampermit.compute.worker.Worker.perform", lambda *_: {}["no such key"])
    with Local(Resources(at_once=1)) as executor:
        found = [ended.reason for ended in perform_all(iter([unit_of(1), unit_of(2)]), executor, work)]
    assert found == ["lost 3 times: KeyError: 'no such key'"] * 2


@pytest.mark.slow
def test_a_killed_process_of_a_slot_costs_nothing_but_time(unit_of: Make, work: Path, tmp_path: Path) -> None:
    import psutil

    (tmp_path / "held").touch()
    unit = unit_of(3, hold=str(tmp_path / "held"), note=str(tmp_path / "ran"))

    def kill() -> None:
        wait_for(lambda: [*lines_of(tmp_path / "ran")])
        for process in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):  # a child of another test that has just ended
                if "unit_server.py" in " ".join(process.cmdline()):
                    process.kill()
        (tmp_path / "held").unlink()

    thread = threading.Thread(target=kill)
    thread.start()
    with Local(Resources(at_once=1)) as executor:
        (ended,) = perform_all(iter([unit]), executor, work)
    thread.join(60)
    assert ended.result == {"x": 9}
    assert [*lines_of(tmp_path / "ran")] == ["3", "3"]


def test_no_clock_is_compared(unit_of: Make, work: Path) -> None:
    """A worker whose clock is years off: its result counts all the same."""

    def end(folder: Path, _: int) -> str:
        store(folder, X)
        os.utime(folder / "ended.json", (1, 1))
        return ""

    (ended,) = perform_all(iter([unit_of()]), Planted(end), work)
    assert (ended.result, read_result(ended.folder)) == (X, X)
