"""The local executor: as many units at once as this machine has cores and GPUs for."""

from __future__ import annotations

import os
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from beampermit.compute.resources import Resources
from beampermit.compute.team import team_of
from beampermit.compute.worker import GPUS, Worker, dealt
from beampermit.errors import BadInput, BeampermitError, counted, from_os_error

ENDING = 5.0
"""Seconds that threads may take to end."""


class Local:
    """A thread a slot, each with a process that stays from unit to unit. It is its own context manager."""

    late = 0.0

    def __init__(self, resources: Resources):
        gpus = gpus_here() if resources.gpus else ()
        self.slots = slots_of(resources, cores_here(), len(gpus))
        share = resources.gpus
        self._workers = [
            Worker(
                dealt(resources.cores, gpus[number * share : (number + 1) * share]),
                seconds=resources.time,
                bundle=resources.bundle,
                progress=self._note,
                team=team_of(1, resources.gpus, resources.cores),
            )
            for number in range(self.slots)
        ]
        self._asked: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[Path, str]] = queue.SimpleQueue()
        self._over = False
        self._installing = ""
        self._threads = [threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in self._workers]

    def __enter__(self) -> Local:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def submit(self, folders: Sequence[Path]) -> None:
        if self._over:
            raise RuntimeError("this executor was cancelled")  # its threads have ended: nobody would perform them
        for folder in folders:
            self._asked.put(folder)

    def ended(self, wait: float) -> Mapping[Path, str]:
        ended: dict[Path, str] = {}
        with suppress(queue.Empty):
            folder, why = self._ended.get(timeout=wait)
            ended[folder] = why
            while True:
                folder, why = self._ended.get_nowait()
                ended[folder] = why
        return ended

    def waiting(self) -> str:
        return self._installing

    def _note(self, step: str, done: int = 0, total: int = 0, /) -> None:
        self._installing = f"{step} ({done} of {total})" if total else step

    def cancel(self) -> None:
        self._over = True
        for worker in self._workers:
            worker.close()
            self._asked.put(None)
        last = time.monotonic() + ENDING
        for thread in self._threads:
            if thread.ident:  # one that waits for an installation or a lock ends with us
                thread.join(max(last - time.monotonic(), 0.0))

    def _serve(self, worker: Worker) -> None:
        while (folder := self._asked.get()) is not None and not self._over:
            why = ""
            try:
                worker.perform(folder)
            except BeampermitError as error:
                why = str(error)
            except OSError as error:
                error.filename = error.filename or str(folder)  # a full disk names none
                why = str(from_os_error(error) or error)
            except BaseException as error:  # the thread has to go on, or its units wait for ever
                why = f"{type(error).__name__}: {error}"
            self._installing = ""
            self._ended.put((folder, why))


def slots_of(resources: Resources, cores: int, gpus: int) -> int:
    """How many units run at once. Raises `BadInput` where this machine cannot run one."""
    if resources.nodes > 1:
        raise BadInput(f"--on local is one machine, and --nodes is {resources.nodes}")
    if resources.cores > cores:
        raise BadInput(f"a unit needs {counted(resources.cores, 'core')} (--cores), this machine has {cores}")
    if resources.gpus > gpus:
        raise BadInput(f"a unit needs {counted(resources.gpus, 'GPU')} (--gpus), this machine has {gpus}")
    slots = cores // resources.cores
    if resources.gpus:
        slots = min(slots, gpus // resources.gpus)
    if resources.memory:
        memory = memory_here()
        if resources.memory > memory:
            raise BadInput(f"a unit needs {resources.memory >> 20} MiB (--memory), this machine has {memory >> 20} MiB")
        slots = min(slots, memory // resources.memory)
    return min(slots, resources.at_once) if resources.at_once else slots


def cores_here() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_here() -> int:
    import psutil

    return int(psutil.virtual_memory().total)


def gpus_here() -> tuple[str, ...]:
    """What `CUDA_VISIBLE_DEVICES` names, else the GPUs that the driver lists."""
    named = os.environ.get(GPUS)
    if named is not None:
        return tuple(filter(None, map(str.strip, named.split(","))))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return tuple(map(str, range(len(lines))))
