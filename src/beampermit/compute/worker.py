"""Performs units on the machine that it runs on: `python -m beampermit.compute.worker FILE`.

All that it knows is in files of the folder of work: FILE is a task (`write_task`), and each unit's folder says what to
do there. Units with a sound result are skipped, so a task that is given twice repeats nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from beampermit.compute.server import Run, Server
from beampermit.compute.team import Team, team_of
from beampermit.compute.unit import (
    ENDED,
    OWN,
    RESULT,
    RUNNING,
    UNIT,
    is_plain,
    last_lines,
    read_plain,
    read_result,
    read_written,
    refuse_planted,
)
from beampermit.environments import Environment
from beampermit.environments.environment import stamp_of
from beampermit.errors import BadInput, BeampermitError, Failed, Outside, from_os_error
from beampermit.files import remove, write_bytes
from beampermit.processes import REPEATABLE, clean_variables, ended_by_signals
from beampermit.progress import Progress, silent
from beampermit.reading import parse_json, read_json

THREADS: tuple[str, ...] = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
GPUS = "CUDA_VISIBLE_DEVICES"
ENDINGS = (-signal.SIGTERM, -signal.SIGUSR2)
"""How a unit ends with its machine or its job. SLURM sends the second one to all of a job whose time is up."""
Way = tuple[Path | None, str, Path, dict[str, str]]
"""Python, module, folder and variables of a process that runs units."""


def write_task(
    file: Path,
    folders: Sequence[Path],
    *,
    cores: int = 1,
    gpus: int = 0,
    seconds: float = 0.0,
    bundle: str = "",
    nodes: int = 1,
) -> None:
    """Write what a worker on another machine is to do. Of `folders`, it does one after the other."""
    body = {"folders": [str(folder.absolute()) for folder in folders], "cores": cores, "gpus": gpus, "nodes": nodes}
    write_bytes(file, json.dumps({**body, "seconds": seconds, "bundle": bundle}).encode())


def perform(
    folders: Iterable[Path],
    *,
    variables: Mapping[str, str] | None = None,
    seconds: float = 0.0,
    bundle: str = "",
    ended: Callable[[Path], None] = lambda _: None,
    progress: Progress = silent,
) -> None:
    """Do the units of `folders` one after the other; `ended` is called after each.

    `variables` are those of threads and GPUs (`dealt`). A unit may take `seconds` (0: any). `bundle` has the files of
    environments that are installed here. Raises `Outside` where a unit could not be begun or its end not be written:
    who submitted it does it again.
    """
    with Worker(variables or dealt(1), seconds=seconds, bundle=bundle, progress=progress) as worker:
        for folder in folders:
            worker.perform(folder)
            ended(folder)


def dealt(cores: int, gpus: Sequence[str] | None = ()) -> dict[str, str]:
    """Variables that give a unit so many threads, and these GPUs; with None, those that the machine lets it see."""
    threads: dict[str, str] = dict.fromkeys(THREADS, str(cores))
    return threads if gpus is None else {**threads, GPUS: ",".join(gpus)}


class Worker:
    """Does one unit after the other, and keeps the process that has imported what they run."""

    def __init__(
        self,
        variables: Mapping[str, str],
        *,
        seconds: float = 0.0,
        bundle: str = "",
        progress: Progress = silent,
        team: Team | None = None,
    ):
        self._variables, self._seconds, self._bundle = dict(variables), seconds, bundle
        self._progress, self._team = progress, team
        self._server: Server | None = None
        self._environments: dict[tuple[str, ...], Environment | None] = {}
        self._closed = self._ending = False
        self._starting = threading.Lock()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, and with it the unit that runs in it."""
        with self._starting:
            self._closed = True
            if self._server:
                self._server.close()

    def end_soon(self) -> None:
        """Its job is about to be ended, and so are units, one by one: none of them failed."""
        self._ending = True

    def perform(self, folder: Path) -> None:
        """Do the unit of a folder, unless it has a sound result. Raises as the function `perform`."""
        with _running(folder):
            if read_result(folder) is not None:
                return
            description = _description(folder)
            if self._ending:
                raise Outside("its job was ended before it began", file=folder)
            try:
                way = self._way(description, folder)
            except (BadInput, Failed) as error:
                store(folder, reason=str(error))
                return
            remove(folder / RESULT)
            began = time.monotonic()
            run = self._run(way, folder, self._team if description["team"] else None)
            if run.code in ENDINGS or (run.code and self._ending):
                raise Outside("its job was ended, or its machine is", file=folder)
            store_run(folder, run, time.monotonic() - began)

    def _run(self, way: Way, folder: Path, team: Team | None) -> Run:
        python, module, _, variables = way
        if team and python:
            return team.run(python, module, variables, folder, self._seconds, lambda: self._closed)
        try:
            return self._server_for(way, folder).run(folder, self._seconds)
        except EOFError as error:
            self._server = None
            raise Outside(f"the process of the unit ended: {error}", file=folder) from None

    def _way(self, description: dict[str, Any], folder: Path) -> Way:
        tree = Path(description["tree"]) if description["tree"] else None
        if tree:
            _link(tree, folder)
        environment = self._environment(description, tree)
        variables = environment.clean_variables(tree) if environment else _own_variables(tree)
        python = environment.python if environment else None
        if self._team and self._team.nodes > 1 and not (python and description["team"]):
            raise BadInput(f"--nodes is {self._team.nodes}, and this is the work of one machine")
        return python, description["module"], tree or Path("/"), {**variables, **REPEATABLE, **self._variables}

    def _server_for(self, way: Way, folder: Path) -> Server:
        if self._server and self._server.key == way:
            return self._server
        with self._starting:
            if self._server:
                self._server.close()
                self._server = None
            if self._closed:
                raise Outside("the worker was closed", file=folder)
            self._server = Server(*way)
            return self._server

    def _environment(self, description: dict[str, Any], tree: Path | None) -> Environment | None:
        key = (*(description[name] for name in ("environment", "stamp", "lock", "tree")), *description["passed"])
        if key not in self._environments:
            self._environments[key] = _environment_of(description, tree, self._bundle, self._progress)
        return self._environments[key]


def store(
    folder: Path,
    result: dict[str, Any] | None = None,
    *,
    reason: str = "",
    stopped: bool = False,
    seconds: float = 0.0,
) -> None:
    """Write how a unit ended; for executors also: with a reason, it failed and is not done again in this run."""
    body = {
        "unit": f"sha256:{folder.name}",
        "result": result,
        "reason": reason,
        "stopped": stopped,
        "seconds": round(seconds, 3),
        "machine": platform.node(),
    }
    if not is_plain(folder / ENDED):
        remove(folder / ENDED)
    write_bytes(
        folder / ENDED,
        json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="backslashreplace"),
    )


def store_run(folder: Path, run: Run, seconds: float) -> None:
    """Write how a unit ended whose command ended so."""
    if run.ended == "stopped":
        store(folder, reason="stopped", stopped=True, seconds=seconds)
        return
    reason = ""
    result = None
    if run.ended == "time":
        reason = f"it took longer than {seconds:.0f} s, the limit, and was ended"
    elif run.code < 0:
        name = signal.Signals(-run.code).name if -run.code in {*signal.Signals} else str(-run.code)
        memory = ": out of memory?" if -run.code == signal.SIGKILL else ""
        reason = f"it was ended by signal {name}{memory}"
    elif run.code:
        reason = f"it ended with exit status {run.code}"
    else:
        try:
            result = read_written(folder)
            refuse_planted(folder)
        except BadInput as error:
            result = None
            reason = str(error)
    if reason and (lines := last_lines(folder)):
        reason = f"{reason}\n{lines}"
    store(folder, result, reason=reason, seconds=seconds)


@contextmanager
def _running(folder: Path) -> Iterator[None]:
    """One worker at a time in a folder: a job that was thought lost may still be there, and ends first."""
    descriptor = os.open(folder / RUNNING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with suppress(OSError):  # a shared folder without locks: both write the same result
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(OSError):
            os.utime(descriptor)  # of a job's units, which was begun last
        yield
    finally:
        os.close(descriptor)


def _description(folder: Path) -> dict[str, Any]:
    content = read_plain(folder / UNIT)
    if content is None:
        raise Outside("the unit's description is not there (yet): is this folder shared?", file=folder / UNIT)
    body = parse_json(content, folder / UNIT)
    if body["unit"] != f"sha256:{folder.name}":
        raise BadInput("this is the description of another unit", file=folder / UNIT)
    return body


def _link(tree: Path, folder: Path) -> None:
    try:
        names = [path.name for path in tree.iterdir()]
    except OSError as error:
        raise Outside(f"the unit's code and data are not on this machine: {error.strerror}", file=tree) from None
    for name in names:
        if name in OWN:
            raise BadInput(f"{name} is a name that each unit's folder needs: rename it in the project", file=tree)
        link, target = folder / name, tree / name
        # An earlier attempt had a tree of the same bytes elsewhere; a file that the command made stays.
        if link.is_symlink() and link.readlink() != target:
            link.unlink()
        with suppress(FileExistsError):
            link.symlink_to(target)


def _own_variables(tree: Path | None) -> dict[str, str]:
    # Nothing is written into the tree, neither compiled modules.
    path = {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"} if tree else {}
    return {**clean_variables(), "PYTHONNOUSERSITE": "1", **path}


def _environment_of(
    description: dict[str, Any], tree: Path | None, bundle: str, progress: Progress
) -> Environment | None:
    """The environment where it is on this machine; else it is installed from its lock, once a machine."""
    prefix, lock, passed = description["environment"], description["lock"], tuple(description["passed"])
    if not prefix and not lock:
        return None
    here = Environment(Path(prefix), passed) if prefix else None
    built_from, _, variant = description["stamp"].partition(" ")
    same = not lock or (built_from == lock and here is not None and stamp_of(here.prefix) == description["stamp"])
    if here and here.python.exists() and same:
        return here
    if not lock or tree is None:
        raise BadInput("the unit's environment is not on this machine, and it has no lock to install it from")
    from beampermit.environments.bundle import opened  # what is there already needs none of these
    from beampermit.environments.choice import backend_for
    from beampermit.environments.installation import install, shared_prefix

    with opened(Path(bundle)) if bundle else nullcontext() as packages:
        backend = backend_for(tree, variant=variant, bundle=packages)
        found = backend.read(tree)
        if found.digest != lock:
            raise BadInput(f"the lock is {found.digest}, and the unit is for {lock}", file=tree / found.file)
        installed = install(backend, tree, shared_prefix(found), reuse=True, progress=progress)
    return installed.environment.passing(passed)


def _say(step: str, done: int = 0, total: int = 0, /) -> None:  # noqa: ARG001
    sys.stderr.write(f"{step}\n")
    sys.stderr.flush()


def do_task(file: str, begins: Callable[[Worker], None] = lambda _: None) -> int:
    """Do a task. What is lost is said on stderr, and the exit status is 1."""
    task = read_json(Path(file))
    lost = 0
    variables = dealt(task["cores"], None if task["gpus"] else ())
    team = team_of(task["nodes"], task["gpus"], task["cores"])
    with Worker(variables, seconds=task["seconds"], bundle=task["bundle"], progress=_say, team=team) as worker:
        begins(worker)
        for folder in map(Path, task["folders"]):
            try:
                worker.perform(folder)
            except (BeampermitError, OSError) as error:
                told = error if isinstance(error, BeampermitError) else from_os_error(error) or error
                _say(f"{folder.name}: {told}")
                lost += 1
    return int(lost > 0)


def main(file: str) -> int:
    """Do a task; SIGTERM ends the unit that runs."""
    try:
        with ended_by_signals():
            return do_task(file)
    except KeyboardInterrupt:
        return 128 + signal.SIGTERM


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
