"""Has units performed, and yields them as they end: what is done is not done again, what is lost is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.compute.claims import Claims
from beampermit.compute.executor import Executor
from beampermit.compute.unit import Ended, Unit, last_lines, prepare, read_ended
from beampermit.errors import BadInput, counted
from beampermit.progress import Progress, silent

ATTEMPTS = 3
"""At a unit whose worker ends without a word, as on a node that fails."""
WAIT = 0.25
"""Seconds between two looks at what is watched and at the time left."""
FOREIGN = 1.0
"""Seconds between two looks at units that another submitter has."""
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
) -> Iterator[Ended]:
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
    """A unit that is submitted, or that another submitter has."""

    unit: Unit
    attempts: int = 0
    late: float = 0.0
    """Until when its result may show up."""
    why: str = ""


class _Run:
    def __init__(
        self, units: Iterator[Unit | None], executor: Executor, work: Path, progress: Progress, total: int, what: str
    ):
        self.units, self.executor, self.work = units, executor, work
        self.progress, self.total, self.what = progress, total, what
        self.claims = Claims(work)
        self.held: dict[Path, _Held] = {}
        self.foreign: dict[Path, _Held] = {}
        self.exhausted = False
        self.again: list[Unit] = []
        self.done = self.failed = self.performed = 0
        self.began = time.monotonic()
        self.looked = 0.0

    def close(self) -> None:
        if self.held:
            self.executor.cancel()
        for folder in self.held:
            self.claims.give_back(folder)
        self.claims.close()

    def perform(self, watch: Watch | None) -> Iterator[Ended]:
        while True:
            yield from self._fill()
            if not self.held and not self.foreign:
                if self.exhausted:
                    return
                raise BadInput("nothing runs, and there is no further unit to wait for")
            self._show()
            for folder, why in self.executor.ended(WAIT if self.held else FOREIGN).items():
                if folder in self.held:
                    held = self.held[folder]
                    held.why, held.late = why, time.monotonic() + self.executor.late
            yield from self._collect()
            yield from self._look_at_foreign()
            if watch and self.held:
                watch({folder: held.unit for folder, held in self.held.items()})

    def _fill(self) -> Iterator[Ended]:
        """Take units until all slots are full; those that are done are yielded."""
        new: list[Path] = []
        while not self.executor.slots or len(self.held) < self.executor.slots:
            unit = self._next()
            if unit is None:
                break
            folder = unit.folder(self.work)
            if folder in self.held or folder in self.foreign:
                raise BadInput(f"{unit.label} and {self._label_of(folder)} are the same unit of work")
            if (body := read_ended(folder)) and body["result"] is not None:
                yield self._yielded(_ended(unit, folder, body, reused=True))
            elif self._take(unit, folder):
                new.append(folder)
        if new:
            self.executor.submit(new)

    def _take(self, unit: Unit, folder: Path) -> bool:
        """Claim and prepare a unit; another submitter may have it."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.claims.take(folder):
            self.foreign[folder] = _Held(unit)
            return False
        self.held[folder] = _Held(unit, attempts=1)
        prepare(unit, folder)
        return True

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

    def _label_of(self, folder: Path) -> str:
        return (self.held.get(folder) or self.foreign[folder]).unit.label

    def _collect(self) -> Iterator[Ended]:
        """Yield what ended; submit again what ended without a word."""
        lost: list[Path] = []
        for folder, held in [(folder, held) for folder, held in self.held.items() if held.late]:
            body = read_ended(folder)
            if body is None and time.monotonic() < held.late:
                continue  # a shared folder that shows files late
            if body is None and held.attempts < ATTEMPTS:
                held.attempts, held.late = held.attempts + 1, 0.0
                lost.append(folder)
                continue
            del self.held[folder]
            self.claims.give_back(folder)
            self.performed += 1
            yield self._yielded(
                _ended(held.unit, folder, body) if body else Ended(held.unit, folder, None, _lost(held, folder))
            )
        for folder in lost:
            prepare(self.held[folder].unit, folder)
        if lost:
            self.executor.submit(lost)

    def _look_at_foreign(self) -> Iterator[Ended]:
        """Yield what another submitter has done; take what it no longer has."""
        if not self.foreign or time.monotonic() < self.looked + FOREIGN:
            return
        self.looked = time.monotonic()
        for folder, held in list(self.foreign.items()):
            if body := read_ended(folder):
                del self.foreign[folder]
                yield self._yielded(_ended(held.unit, folder, body, reused=True))
            elif self.claims.take(folder):
                self.claims.give_back(folder)
                del self.foreign[folder]
                self.again.append(held.unit)

    def _yielded(self, ended: Ended) -> Ended:
        self.done += 1
        self.failed += ended.result is None and not ended.stopped
        return ended

    def _show(self) -> None:
        late = [held for held in self.held.values() if held.late]
        parts = [
            f"{len(self.held)} running",
            self.executor.waiting(),
            f"{self.failed} failed" if self.failed else "",
            f"{counted(len(self.foreign), 'unit')} of another process" if self.foreign else "",
            f"waiting for the result of {late[0].unit.label}, which ended" if late else "",
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
    seconds = body.get("seconds")
    return Ended(
        unit,
        folder,
        body["result"],
        str(body.get("reason") or ""),
        float(seconds) if isinstance(seconds, (int, float)) else 0.0,
        body.get("stopped") is True,
        str(body.get("machine") or ""),
        reused,
    )


def _lost(held: _Held, folder: Path) -> str:
    why = held.why or "its worker ended without a word: killed, out of memory, or its node failed"
    lines = last_lines(folder)
    return f"lost {held.attempts} times: {why}" + (f"\n{lines}" if lines else "")
