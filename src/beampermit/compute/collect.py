"""Has units performed, and yields them as they end: what is done is not done again, what is lost is."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beampermit.compute.claims import Claims
from beampermit.compute.executor import Executor
from beampermit.compute.unit import ENDED, Ended, Unit, last_lines, prepare, read_ended
from beampermit.errors import BadInput, counted
from beampermit.progress import Progress, silent

ATTEMPTS = 3
"""At a unit whose worker ends without a word, as on a node that fails."""
WAIT = 0.25
"""Seconds between two looks at what is watched and at the time left."""
FOREIGN = 1.0
"""Seconds between two looks at units that another submitter has."""
SHOWN = 0.1
"""Seconds between two steps of progress."""
Watch = Callable[[Mapping[Path, Unit]], None]


def perform_all(
    units: Iterator[Unit | None],
    executor: Executor,
    work: Path,
    progress: Progress = silent,
    *,
    total: int = 0,
    what: str = "units",
    watch: Watch | None = None,
) -> Generator[Ended, None, None]:
    """Have `units` performed, and yield each once as it ends, with its result or why there is none.

    `units` is asked for another one as a slot gets free, after what ended was yielded: it may depend on that. Where it
    gives None, it is asked again after the next one ended. Those with a sound result in `work` are yielded at once.
    `total` and `what` are for the progress. `watch` is called several times a second with what runs, by folder; it
    may read `read_intermediate` and call `stop_unit`.
    When the iterator is closed or interrupted, what was submitted is cancelled. Raises as the executor does.
    """
    run = _Run(units, executor, work, progress, total, what)
    try:
        yield from run.perform(watch)
    finally:
        run.close()


@dataclass
class _Held:
    """A unit that is submitted, or that another submitter has; asked for twice, there are several."""

    units: list[Unit]
    attempts: int = 1
    until: float = 0.0
    """When the wait for its result is over, where its attempt has ended."""
    why: str = ""
    before: tuple[int, int] | None = None
    """Which file said how it ended, when another submitter was found to have it."""

    @property
    def unit(self) -> Unit:
        return self.units[0]


@dataclass
class _Run:
    units: Iterator[Unit | None]
    executor: Executor
    work: Path
    progress: Progress
    total: int
    what: str
    held: dict[Path, _Held] = field(default_factory=dict)
    over: dict[Path, _Held] = field(default_factory=dict)
    """Of those held, whose attempt has ended."""
    foreign: dict[Path, _Held] = field(default_factory=dict)
    again: list[Unit] = field(default_factory=list)
    exhausted: bool = False
    busy: int = 0
    """Units that are held: as many as there are slots, at most."""
    done: int = 0
    failed: int = 0
    performed: int = 0
    looked: float = 0.0
    shown: float = 0.0

    def __post_init__(self) -> None:
        self.claims = Claims(self.work)
        self.began = time.monotonic()

    def close(self) -> None:
        if self.held:
            self.executor.cancel()
        for folder in self.held:
            self.claims.give_back(folder)
        self.claims.close()

    def perform(self, watch: Watch | None) -> Iterator[Ended]:
        watched = 0.0
        while True:
            yield from self._fill()
            if not self.held and not self.foreign:
                if self.exhausted:
                    return
                raise BadInput("nothing runs, and there is no further unit to wait for")
            self._show()
            for folder, why in self.executor.ended(WAIT if self.held else FOREIGN).items():
                if held := self.held.get(folder):
                    held.why, held.until = why, time.monotonic() + self.executor.late
                    self.over[folder] = held
            yield from self._collect()
            yield from self._look_at_foreign()
            if watch and self.held and time.monotonic() >= watched + WAIT:
                watched = time.monotonic()
                watch({folder: held.unit for folder, held in self.held.items()})

    def _fill(self) -> Iterator[Ended]:
        """Take units until all slots are full; those that are done are yielded."""
        new: list[Path] = []
        while not self.executor.slots or self.busy < self.executor.slots:
            unit = self._next()
            if unit is None:
                break
            folder = unit.folder(self.work)
            if self.held and (held := self.held.get(folder)):  # where thousands are done, none is held
                held.units.append(unit)
                self.busy += 1
            elif self.foreign and (held := self.foreign.get(folder)):
                held.units.append(unit)
            elif (body := read_ended(folder)) and body["result"] is not None:
                yield self._counted(_ended(unit, folder, body, reused=True))
                self._show()
            elif self._take(unit, folder):
                new.append(folder)
        if new:
            self.executor.submit(new)

    def _next(self) -> Unit | None:
        if self.again:
            return self.again.pop()
        if self.exhausted:
            return None
        try:
            return next(self.units)
        except StopIteration:
            self.exhausted = True
            return None

    def _take(self, unit: Unit, folder: Path) -> bool:
        """Claim and prepare a unit; another submitter may have it."""
        if not self.claims.take(folder):
            self.foreign[folder] = _Held([unit], before=_which(folder))
            return False
        self.held[folder] = _Held([unit])
        self.busy += 1
        prepare(unit, folder)
        return True

    def _collect(self) -> Iterator[Ended]:
        """Yield what ended; submit again what ended without a word."""
        lost: list[Path] = []
        for folder, held in list(self.over.items()):
            body = read_ended(folder)
            if body is None and time.monotonic() < held.until:
                continue  # a shared folder that shows files late
            del self.over[folder]
            if body is None and held.attempts < ATTEMPTS:
                held.attempts += 1
                lost.append(folder)
                continue
            del self.held[folder]
            self.claims.give_back(folder)
            self.busy -= len(held.units)
            self.performed += 1
            for unit in held.units:
                yield self._counted(
                    _ended(unit, folder, body) if body else Ended(unit, folder, None, _lost(held, folder))
                )
        for folder in lost:
            prepare(self.held[folder].unit, folder)
        if lost:
            self.executor.submit(lost)

    def _look_at_foreign(self) -> Iterator[Ended]:
        """Yield what another submitter has done; take what it gave up."""
        if not self.foreign or time.monotonic() < self.looked + FOREIGN:
            return
        self.looked = time.monotonic()
        for folder, held in list(self.foreign.items()):
            body = read_ended(folder)
            if not (body and body["result"] is not None):
                if not self.claims.take(folder):
                    continue
                body = read_ended(folder)
                self.claims.give_back(folder)
                # What the other one stopped, and what was there before, says nothing of this unit.
                if body and body["result"] is None and (body["stopped"] or _which(folder) == held.before):
                    body = None
            del self.foreign[folder]
            if body is None:
                self.again += held.units
                continue
            for unit in held.units:
                yield self._counted(_ended(unit, folder, body, reused=True))

    def _counted(self, ended: Ended) -> Ended:
        self.done += 1
        self.failed += ended.result is None and not ended.stopped
        return ended

    def _show(self) -> None:
        now = time.monotonic()
        if now < self.shown + SHOWN:
            return
        self.shown = now
        waiting = self.executor.waiting()
        late = next(iter(self.over.values()), None)
        parts = [
            f"{len(self.held)} submitted, {waiting}" if waiting else f"{len(self.held)} running",
            f"{self.failed} failed" if self.failed else "",
            f"{counted(len(self.foreign), 'unit')} in work by another process" if self.foreign else "",
            f"{late.unit.label} has ended without a result so far: killed, or its files appear late" if late else "",
            self._time_left(),
        ]
        self.progress(f"{self.what}: {', '.join(filter(None, parts))}", self.done, self.total)

    def _time_left(self) -> str:
        if not self.performed or self.total <= self.done:
            return ""
        left = (time.monotonic() - self.began) / self.performed * (self.total - self.done)
        if left < 90:
            return f"about {left:.0f} s left"
        return f"about {left / 60:.0f} min left" if left < 90 * 60 else f"about {left / 3600:.1f} h left"


def _ended(unit: Unit, folder: Path, body: dict[str, Any], *, reused: bool = False) -> Ended:
    return Ended(
        unit, folder, body["result"], body["reason"], body["seconds"], body["stopped"], body["machine"], reused
    )


def _lost(held: _Held, folder: Path) -> str:
    why = held.why or "its worker ended without a word: killed, out of memory, or its node failed"
    lines = last_lines(folder)
    return f"lost {held.attempts} times: {why}" + (f"\n{lines}" if lines else "")


def _which(folder: Path) -> tuple[int, int] | None:
    """Which file says how a unit ended: another one after each attempt."""
    try:
        status = (folder / ENDED).lstat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
