"""How many submissions ten thousand units are, and how long it takes until they are in the queue of a real SLURM."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.compute.resources import Resources
from beampermit.compute.slurm import Slurm as Executor
from beampermit.compute.unit import Unit, prepare
from support.slurm import Slurm, slurm, slurm_session
from support.units_of_work import tree, unit_of, work

__all__ = ["slurm", "slurm_session", "tree", "unit_of", "work"]


@pytest.mark.bench
def test_an_array(slurm: Slurm, unit_of: Callable[..., Unit], work: Path, say: Callable[[str], None]) -> None:
    number = 10_000
    folders: list[Path] = []
    for x in range(number):
        unit = unit_of(x)
        folders.append(unit.folder(work))
        prepare(unit, folders[-1])
    with Executor(Resources(time=7200.0), work) as executor:  # more than the partition gives: they stay in the queue
        before, own = time.perf_counter(), time.process_time()
        executor.submit(folders)
        seconds, own = time.perf_counter() - before, time.process_time() - own
        names = set(slurm("squeue", "--noheader", "--format=%j").split())
        jobs = slurm("squeue", "--noheader", "--array", "--format=%i").split()
        before = time.perf_counter()
        executor.ended(0.0)
        look = time.perf_counter() - before
    say(f"{number} units: {len(names)} submission of {len(jobs)} jobs in {seconds:.2f} s, {own:.2f} s of CPU")
    say(f"  a look at what has ended: {look:.2f} s")
    assert len(names) == 1
