"""What a unit of work costs besides its command, against a bare loop over as many processes, and against joblib."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.compute.collect import perform_all
from beampermit.compute.local import Local
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Unit
from beampermit.compute.worker import store
from support.units_of_work import tree, unit_of, work

__all__ = ["tree", "unit_of", "work"]
AT_ONCE = 2
Make = Callable[..., Unit]


def sleep(seconds: float, x: int) -> int:
    """What the command of a unit does, as a function."""
    time.sleep(seconds)
    return x**2


@pytest.mark.bench
@pytest.mark.parametrize(("number", "seconds"), [(1000, 0.05), (20, 1.0)])
def test_units(number: int, seconds: float, unit_of: Make, work: Path, say: Callable[[str], None]) -> None:
    import joblib

    spawned = multiprocessing.get_context("spawn")
    with spawned.Pool(AT_ONCE) as pool:
        pool.starmap(sleep, [(0.0, 1)] * AT_ONCE)
        bare = _timed(lambda: pool.starmap(sleep, [(seconds, x) for x in range(number)], chunksize=1))
    with joblib.Parallel(n_jobs=AT_ONCE, batch_size=1) as parallel:  # pyright: ignore[reportArgumentType] - an int is as good
        parallel(joblib.delayed(sleep)(0.0, 1) for _ in range(AT_ONCE))
        by_joblib = _timed(lambda: parallel(joblib.delayed(sleep)(seconds, x) for x in range(number)))
    before = os.times()
    with Local(Resources(at_once=AT_ONCE)) as executor:
        assert len([*perform_all(iter([unit_of(-1), unit_of(-2)]), executor, work)]) == AT_ONCE
        units = (unit_of(x, sleep=seconds) for x in range(number))
        ours = _timed(lambda: [*perform_all(units, executor, work, total=number)])
    after = os.times()
    own = after.user + after.system - before.user - before.system
    theirs = after.children_user + after.children_system - before.children_user - before.children_system
    say(
        f"{number} units of {seconds:g} s, {AT_ONCE} at once: {ours:.1f} s, a bare loop {bare:.1f} s "
        f"= {ours / bare:.2f} (aim below 1.15 at 1 s), joblib {by_joblib:.1f} s"
    )
    say(
        f"  {(ours - bare) * AT_ONCE / number * 1000:.1f} ms more a unit (aim 20): "
        f"{own / number * 1000:.1f} ms of CPU in the submitter and {theirs / number * 1000:.1f} ms in the units"
    )


@pytest.mark.bench
def test_resume(unit_of: Make, work: Path, say: Callable[[str], None]) -> None:
    number = 10_000
    for x in range(number):
        folder = unit_of(x).folder(work)
        folder.mkdir(parents=True)
        store(folder, {"loss": x / 7, "curve": [1.0, 0.5]})
    with Local(Resources(at_once=AT_ONCE)) as executor:
        units = (unit_of(x) for x in range(number))
        before = time.process_time()
        seconds = _timed(lambda: [*perform_all(units, executor, work, total=number)])
        cpu = time.process_time() - before
    say(f"{number} units that are done: {seconds:.2f} s, {cpu:.2f} s of CPU (aim below 1)")


def _timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began
