"""Units as arrays of jobs of SLURM. What is submitted is kept in the folder of work, where a new start finds it."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from beampermit.compute import slurm_queue
from beampermit.compute.resources import Resources
from beampermit.compute.slurm_queue import NOT_QUEUED_AGAIN, Listed, Place
from beampermit.compute.unit import ENDED, RUNNING, UNIT, UNITS, last_lines
from beampermit.compute.worker import store, write_task
from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.files import write_json
from beampermit.reading import read_json

ROOM, ARRAY = "slurm", "array.json"
LONGEST_ARRAY = 1000
"""Elements of an array, if the cluster allows more: each has files of its own, and starts a Python."""
SHARE = 4
"""Elements for each job that runs at once, so that no job has much left to do when the others are through."""
JOB = 4 * 3600.0
"""Seconds that a job asks for, if its units may take longer together: what is left is done in another turn."""
MARGIN = 120.0
"""Seconds of a job for its start, an environment to install, and its end."""
TOO_LONG, NOT_REACHED = "Invalid job array specification", "connect failure"
"""Words of sbatch: it submitted nothing."""
ASK_FOR_LESS = "press Ctrl-C, and ask for less"
LOOK, ASK, ASK_SELDOM = 0.25, 2.0, 30.0
"""Seconds between two looks at files, and between two questions to the controller."""
OVER = 3.0
"""Seconds for which a job has to be over: one that is queued again is so for a moment."""
KEPT = 24 * 3600.0
"""Seconds for which logs of an array stay. Its last job still writes there when all units are done."""
UNANSWERED = 900.0
"""Seconds after which a controller that does not answer ends the command."""


@dataclass
class Array:
    """One submission: what each element has still to do, by its number."""

    name: str
    room: Path
    open: dict[int, dict[Path, None]]
    own: bool = True
    """Submitted by us; not found."""
    over: dict[int, float] = field(default_factory=dict)
    """Element -> since when no job of it is queued or runs."""


class Slurm:
    """Its own context manager. Raises `BadInput` or `Outside` where there is no SLURM here."""

    slots = 0
    late = 15.0

    def __init__(self, resources: Resources, work: Path):
        if find_spec("submitit") is None:
            raise BadInput("--on slurm needs the extra slurm", hint="pip install 'beampermit[slurm]'")
        for program in ("sbatch", "squeue", "scancel", "srun"):
            if shutil.which(program) is None:
                hint = "Log in to a machine of the cluster where jobs are submitted, or leave out --on slurm"
                raise Outside(f"--on slurm needs {program}, which is not on this machine", hint=hint)
        self._resources, self._work, self._room = resources, work.absolute(), work.absolute() / ROOM
        self._arrays: list[Array] = []
        self._queue: dict[Place, Listed] = {}
        self._looked = self._asked = 0.0
        self._answered = time.monotonic()
        self._every = ASK
        self._found = False
        self._longest = 0
        """Elements of an array, once it is known."""

    def __enter__(self) -> Slurm:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def submit(self, folders: Sequence[Path]) -> None:
        if not self._found:
            self._find(set(folders))
        taken = {folder for array in self._arrays for element in array.open.values() for folder in element}
        if new := [folder for folder in folders if folder not in taken]:
            self._submit(new)
        self._every, self._asked = ASK, time.monotonic()

    def ended(self, wait: float) -> Mapping[Path, str]:
        last = time.monotonic() + wait
        while True:
            ended = self._look()
            if time.monotonic() > self._asked + self._every:
                ended = {**self._ask(), **ended}
            if ended or (left := last - time.monotonic()) <= 0:
                return ended
            time.sleep(min(left, LOOK))

    def waiting(self) -> str:
        silent = time.monotonic() - self._answered
        if silent > 2 * ASK_SELDOM:
            return f"SLURM's controller has not answered for {silent:.0f} s"
        open_ = self._open()
        queued = [self._queue[place].reason for place in open_ if place in self._queue and _queued(self._queue[place])]
        if not queued:
            return ""
        reason, _ = Counter(queued).most_common(1)[0]
        helpless = f", and no waiting helps: {ASK_FOR_LESS}" if slurm_queue.no_waiting_helps(reason) else ""
        return f"{len(queued)} of {len(open_)} jobs queued ({reason}){helpless}"

    def cancel(self) -> None:
        names = [array.name for array in self._arrays if any(array.open.values())]
        self._arrays.clear()
        slurm_queue.cancel(names)

    def _open(self) -> dict[Place, dict[Path, None]]:
        return {
            Place(array.name, number): element
            for array in self._arrays
            for number, element in array.open.items()
            if element
        }

    def _submit(self, folders: Sequence[Path]) -> None:
        self._longest = self._longest or min(slurm_queue.largest_array(), LONGEST_ARRAY)
        while True:
            chunks = chunks_of(folders, self._resources.at_once, self._longest)
            try:
                return self._submit_array(chunks)
            except Outside as error:
                # Where scontrol does not say how long an array may be, sbatch does in this way.
                if len(chunks) == 1 or TOO_LONG not in error.message:
                    raise
                self._longest = len(chunks) // 2

    def _submit_array(self, chunks: list[list[Path]]) -> None:
        from beampermit.compute import slurm_job

        resources, folders = self._resources, [folder for chunk in chunks for folder in chunk]
        name = f"beampermit-{secrets.token_hex(4)}"
        array = Array(name, self._room / name, {n: dict.fromkeys(chunk) for n, chunk in enumerate(chunks)})
        tasks = [array.room / f"task-{number}.json" for number in array.open]
        array.room.mkdir(parents=True, mode=0o700)
        for task, chunk in zip(tasks, chunks, strict=True):
            write_task(
                task,
                chunk,
                cores=resources.cores,
                gpus=resources.gpus,
                seconds=resources.time,
                bundle=resources.bundle,
                nodes=resources.nodes,
            )
        # Killed before sbatch has answered, the next start finds the jobs by this file and their name.
        write_json(array.room / ARRAY, {"elements": [[folder.name for folder in chunk] for chunk in chunks]})
        self._arrays.append(array)
        requeues = max(map(len, chunks)) + 2
        try:
            slurm_job.submit(array.room, tasks, self._parameters(array), requeues, passed_to(folders))
        except Outside as error:
            self._arrays.remove(array)
            if TOO_LONG in error.message:
                shutil.rmtree(array.room, ignore_errors=True)
            elif NOT_REACHED not in error.message:
                with suppress(Outside):  # its answer may be lost; where this is too, the next start takes them over
                    slurm_queue.cancel([name])
            raise

    def _parameters(self, array: Array) -> dict[str, object]:
        resources, longest = self._resources, max(map(len, array.open.values()))
        if resources.time:
            seconds = min(longest * resources.time, max(JOB, resources.time)) + MARGIN
        else:
            seconds = slurm_queue.usual_time(resources.partition)
        asked: dict[str, object] = {
            "job_name": array.name,
            "time": math.ceil(seconds / 60),
            "signal_delay_s": int(min(90, seconds / 10)),
            "nodes": resources.nodes,
            "ntasks_per_node": 1,
            "cpus_per_task": resources.cores,
            "array_parallelism": resources.at_once or len(array.open),
        }
        if resources.gpus:
            asked["gpus_per_node"] = resources.gpus
        if resources.memory:
            asked["mem"] = f"{math.ceil(resources.memory / 2**20)}M"
        if resources.partition:
            asked["partition"] = resources.partition
        return asked

    def _find(self, wanted: set[Path]) -> None:
        """Take over what an earlier command submitted and was killed: what still waits or runs of what is `wanted`."""
        self._found = True
        earlier = dict(_kept(self._room, self._work / UNITS))
        self._queue = slurm_queue.listed(list(earlier))
        given_up: list[str] = []
        for name, elements in earlier.items():
            alive = dict[int, dict[Path, None]]()
            for number, element in enumerate(elements):
                job = self._queue.get(Place(name, number))
                if job and not job.over and job.state != "COMPLETING":
                    alive[number] = dict.fromkeys(folder for folder in element if folder in wanted)
                elif job and job.may_start and not wanted.isdisjoint(element):
                    given_up.append(job.job)
            if alive:
                self._arrays.append(Array(name, self._room / name, alive, own=False))
            else:
                _remove_old(self._room / name)
        # What they have to do is submitted again: were they to start later, they would do it a second time.
        slurm_queue.cancel_jobs(given_up)

    def _look(self) -> dict[Path, str]:
        """Whose end a worker wrote. With many units on a slow disk, it is looked for seldom."""
        began = time.monotonic()
        if began < self._looked:
            return {}
        ended: dict[Path, str] = {}
        for element in self._open().values():
            done = [folder for folder in element if os.path.exists(f"{folder}/{ENDED}")]  # noqa: PTH110 - of 10,000
            ended |= dict.fromkeys(done, "")
            for folder in done:
                del element[folder]
        now = time.monotonic()
        self._looked = now + 10 * (now - began)
        if ended:
            self._every = ASK
            self._arrays = [array for array in self._arrays if any(array.open.values())]
        return ended

    def _ask(self) -> dict[Path, str]:
        """What of is open in jobs that are over."""
        now = self._asked = time.monotonic()
        open_ = self._open()
        try:
            self._queue = slurm_queue.listed(sorted({place.name for place in open_}))
        except Outside as error:
            if now - self._answered > UNANSWERED:
                self._arrays.clear()  # nobody is there who would cancel them
                raise Outside(
                    f"SLURM's controller has not answered for {(now - self._answered) / 60:.0f} min: {error.message}",
                    hint="What is submitted goes on; the same command later takes it over",
                ) from None
            return {}
        self._answered = now
        ended: dict[Path, str] = {}
        again: list[Path] = []
        for array in self._arrays:
            for number, element in array.open.items():
                job = self._queue.get(Place(array.name, number))
                if not element or (job and not job.over):
                    array.over.pop(number, None)
                elif now - array.over.setdefault(number, now) >= OVER:
                    left = _not_begun(array, list(element), job)
                    again += left
                    lost = [folder for folder in element if folder not in left]
                    ended |= dict.fromkeys(lost, _lost(array, lost, job))
                    element.clear()
        changing = ended or any(array.over for array in self._arrays)
        self._every = ASK if changing else min(1.5 * self._every, ASK_SELDOM)
        if again:
            self._submit(again)
        return ended


def _remove_old(room: Path) -> None:
    with suppress(OSError):
        if time.time() - (room / ARRAY).stat().st_mtime > KEPT:
            shutil.rmtree(room)


def chunks_of(folders: Sequence[Path], at_once: int, longest_array: int) -> list[list[Path]]:
    """What each element of an array does: nearly as many units each, in an array that the cluster takes."""
    elements = min(len(folders), longest_array, SHARE * at_once if at_once else longest_array)
    return [list(folders[number::elements]) for number in range(elements)]


def passed_to(folders: Sequence[Path]) -> set[str]:
    """Names of variables that contracts let through to units. A worker has none that the job does not have."""
    return {name for folder in folders for name in read_json(folder / UNIT)["passed"]}


def _kept(room: Path, units: Path) -> Iterator[tuple[str, list[list[Path]]]]:
    for file in sorted(room.glob(f"beampermit-*/{ARRAY}")):
        with suppress(BeampermitError, OSError, KeyError, TypeError, json.JSONDecodeError):
            yield file.parent.name, [[units / name for name in names] for names in read_json(file)["elements"]]


def _queued(job: Listed) -> bool:
    return job.state == "PENDING"


def _lost(array: Array, folders: list[Path], job: Listed | None) -> str:
    """Why a job is over that has not done all. What would only end so again, is failed for good here."""
    named, state = (f"job {job.job}", job.state) if job else (f"a job named {array.name}", "")
    said = f"{named} is over ({state})" if state else f"{named} is no longer in the queue"
    if job and job.held:
        said = f"{named} could not be started: {job.reason}"
        slurm_queue.cancel_jobs([job.job])
    log = _log(array, job)
    lines = _last_lines(log)
    short = slurm_queue.what_was_short(state, lines)
    if state == "CANCELLED" and array.own:
        for folder in folders:
            store(folder, reason=f"{said}: somebody, or the site, ended it with scancel")
    elif short:
        said = f"{said}; give {short} a larger value"
        # One whose time was up for the last time has a checkpoint, perhaps: another job goes on with that.
        if (begun := _begun(folders)) and (short == "--memory" or state == "TIMEOUT"):
            store(begun, reason="\n".join(filter(None, (said, last_lines(begun)))))
    return f"{said}; {_words(array, log, lines)}"


def _not_begun(array: Array, folders: list[Path], job: Listed | None) -> list[Path]:
    """Of a job whose time was up, and that was not queued again, what it had not come to: that was no attempt at it."""
    log = _own_log(array, job)
    if log is None or not any(NOT_QUEUED_AGAIN in line for line in _last_lines(log)):
        return []
    begun = _begun(folders)
    return [folder for folder in folders if folder != begun] if begun else []


def _begun(folders: list[Path]) -> Path | None:
    """Of what a job has not done, the unit that it began last."""
    begun: dict[Path, float] = {}
    for folder in folders:
        with suppress(OSError):
            begun[folder] = (folder / RUNNING).stat().st_mtime
    return max(begun, key=lambda folder: begun[folder], default=None)


def _log(array: Array, job: Listed | None) -> Path | None:
    """What a job left; of one that left none, or that we do not know, the last of its array."""
    if own := _own_log(array, job):
        return own
    return max(array.room.glob("*_log.err"), key=lambda file: file.stat().st_mtime, default=None)


def _own_log(array: Array, job: Listed | None) -> Path | None:
    log = array.room / f"{job.job}_0_log.err" if job else None
    return log if log and log.exists() else None


def _last_lines(log: Path | None) -> list[str]:
    if log is None:
        return []
    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - 4096, 0))
        return [line.strip() for line in stream.read().decode(errors="replace").splitlines() if line.strip()]


def _words(array: Array, log: Path | None, lines: list[str]) -> str:
    """The last line that a job left, which says more than SLURM: there is no such module, no such folder."""
    if log is None:
        return f"it left no log in {array.room}: is this folder shared with the nodes? Give another one with --work"
    told = [line for line in lines if NOT_QUEUED_AGAIN in line] or lines  # srun has the last word
    return f"the end of {log}: {told[-1][:300]}" if told else f"its log is {log}"
