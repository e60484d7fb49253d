"""One unit of work: a command in a folder of its own, with a request as JSON and one result as JSON."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

from beampermit.digest import digest_json
from beampermit.environments import Environment
from beampermit.environments.environment import stamp_of
from beampermit.errors import EXHAUSTED, BadInput
from beampermit.files import remove, write_bytes
from beampermit.reading import parse_json

UNITS = "units"
"""Below the folder of work: one folder a unit, with the digest of what it does as its name."""
UNIT, REQUEST, RESULT, ENDED = "unit.json", "request.json", "result.json", "ended.json"
LOG, INTERMEDIATE, STOP, CLAIM, RUNNING = "log.txt", "intermediate.jsonl", "stop", "claim", "running"
OWN = frozenset({UNIT, REQUEST, RESULT, ENDED, LOG, INTERMEDIATE, STOP, CLAIM, RUNNING})
"""Files of a unit's folder. `result.json` is what the command wrote, `ended.json` what the worker made of it."""
LARGEST = 8 * 2**20
"""Bytes of a result, and of another file that a command writes."""
LARGEST_ENDED = 4 * LARGEST + 2**16
"""The same numbers may be longer where they are written again: `1e5` is `100000.0`."""
LAST_LINES, LAST_BYTES = 12, 2**13
"""Of the log, quoted where a unit fails."""
KINDS = {"result": (dict, NoneType), "reason": str, "stopped": bool, "seconds": (int, float), "machine": str}
"""What `ended.json` holds besides the unit's digest."""
LEAST, MOST = -(2**63), 2**64 - 1
"""Whole numbers that a result may hold: what reads it in a thousandth of a second makes others a float, or refuses."""
MOST_STEPS = 2**31
"""Studies keep the number of a step in four bytes."""
LONG_NUMBER = re.compile(rb"[0-9]{19}")
MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Unit:
    """A command, run in a folder of its own: it reads `request.json` there, and writes `result.json` by rename.

    The result is a JSON object without NaN and infinities. A line `{"step": n, "value": x}` in `intermediate.jsonl`
    says how far the command is. What it prints is in `log.txt`. An exit status that is not 0 is a failure.
    """

    label: str
    """For people: `trial 12`, `seed 3`, `2026-11-02, version 4`."""
    module: str
    """Run as `python -m MODULE`; the unit's folder is its working folder. When it is imported, it does nothing."""
    request: Mapping[str, Any]
    tree: Path | None = None
    """A folder of code and data that nobody writes to: each of its top entries is linked into the unit's folder, its
    `src` is on PYTHONPATH, its lock is what a worker installs."""
    tree_digest: str = ""
    """Of all that is read in `tree`, made once by whoever cut it off."""
    environment: Environment | None = None
    """Of the project, on this machine; None for our own Python."""
    lock: str = ""
    """`Lock.digest` of the environment: where the environment is not there, a worker installs it from the lock in
    `tree`, once a machine. Without it, the environment has to be on each machine at the same path."""
    team: bool = False
    """With several GPUs or machines, torchrun may run the command in a process for each."""

    @cached_property
    def digest(self) -> str:
        """Of module, request, tree and lock: the name of the folder, so that the same work is never done twice."""
        return digest_json(
            {"module": self.module, "request": self.request, "tree": self.tree_digest, "lock": self.lock}
        )

    def folder(self, work: Path) -> Path:
        """Its folder in a folder of work: 64 hexadecimal digits."""
        return work / f"{UNITS}/{self.digest.removeprefix('sha256:')}"


@dataclass(frozen=True)
class Ended:
    """A unit that ended: with a result, or with the reason why there is none. `reason` has the log's last lines."""

    unit: Unit
    folder: Path
    result: dict[str, Any] | None
    reason: str = ""
    seconds: float = 0.0
    """That the command took, where it ran."""
    stopped: bool = False
    """Because the file `stop` was there: no failure."""
    machine: str = ""
    reused: bool = False
    """The result was there before: nothing ran."""


def prepare(unit: Unit, folder: Path) -> None:
    """Write what a worker has to know, and remove how an earlier attempt ended; what it left otherwise stays."""
    if not MODULE.fullmatch(unit.module):
        raise BadInput(f"{unit.module!r} is no name of a Python module")
    environment = unit.environment
    body = {
        "unit": unit.digest,
        "label": unit.label,
        "module": unit.module,
        "tree": str(unit.tree.absolute()) if unit.tree else "",
        "environment": str(environment.prefix) if environment else "",
        "passed": list(environment.passed) if environment else [],
        "stamp": stamp_of(environment.prefix) if environment else "",
        "lock": unit.lock,
        "team": unit.team,
    }
    try:
        make_folder(folder)
        clear(folder)
        write_bytes(folder / REQUEST, json.dumps(dict(unit.request), allow_nan=False).encode())
        write_bytes(folder / UNIT, json.dumps(body).encode())
    except OSError as error:
        error.filename = error.filename or str(folder)  # a full disk names none
        raise


def make_folder(folder: Path) -> None:
    """Make a unit's folder if it is not there; what the unit put in its place is removed."""
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return
    if not stat.S_ISDIR(mode):
        remove(folder)
        folder.mkdir(exist_ok=True, mode=0o700)
    elif mode & 0o700 != 0o700:
        folder.chmod(0o700)


def clear(folder: Path) -> None:
    """Remove how an earlier attempt ended, and what it put in the place of a file of ours, or made unreadable.

    The worker of a submitter that was killed may still be there: what its command wrote is the worker's, which removes
    it before a new attempt, and a sound end that it writes meanwhile stays.
    """
    modes = _modes(folder)
    for name, mode in modes.items():
        if name == STOP or not _is_plain(mode):
            remove(folder / name)
    if ENDED not in modes:
        return
    with _held_if_free(folder):
        if read_result(folder) is None:
            remove(folder / ENDED)


@contextmanager
def _held_if_free(folder: Path) -> Iterator[None]:
    """No worker writes how the unit ended in between; one that runs is not waited for."""
    try:
        descriptor = os.open(folder / RUNNING, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # no worker has been here
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def is_plain(file: Path) -> bool:
    """Whether this is a file that we can read and write."""
    try:
        return _is_plain(file.lstat().st_mode)
    except FileNotFoundError:
        return False


def _is_plain(mode: int) -> bool:
    return stat.S_ISREG(mode) and mode & 0o600 == 0o600


def refuse_planted(folder: Path) -> None:
    """Raise `BadInput` where the command put a folder, a link or a device in the place of a file of ours."""
    for name, mode in sorted(_modes(folder).items()):
        if not stat.S_ISREG(mode):
            raise BadInput("the command put no plain file in the place of this one", file=folder / name)


def _modes(folder: Path) -> dict[str, int]:
    """Type and permissions of files of ours. A claim is a link."""
    with os.scandir(folder) as entries:
        ours = [entry for entry in entries if entry.name in OWN and entry.name != CLAIM]
        return {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in ours}


def read_ended(folder: Path) -> dict[str, Any] | None:
    """How the unit of a folder ended, as its worker wrote it with `worker.store`; None where it has not.

    What is no such file, is torn, or is another unit's says nothing either.
    """
    import orjson  # of ten thousand units that are done, this is what a new start waits for

    try:
        content = read_plain(f"{folder}/{ENDED}", LARGEST_ENDED)
        body = orjson.loads(content) if content is not None else None
    except (BadInput, PermissionError, ValueError):
        return None
    if not isinstance(body, dict) or body.get("unit") != f"sha256:{folder.name}":
        return None
    for key, kind in KINDS.items():
        if not isinstance(body.get(key), kind):
            return None
    return body


def read_result(folder: Path) -> dict[str, Any] | None:
    """The sound result of a unit's folder; None where there is none."""
    body = read_ended(folder)
    return body.get("result") if body else None


def read_written(folder: Path) -> dict[str, Any]:
    """What a command wrote as its result. Raises `BadInput` that names the file and what is wrong."""
    import orjson

    file = folder / RESULT
    try:
        content = read_plain(file)
    except PermissionError:
        raise BadInput("this file cannot be read: permission denied", file=file) from None
    if content is None:
        raise BadInput("the command ended without a result", file=file)
    result = parse_json(content, file)
    if not isinstance(result, dict):
        raise BadInput("the result is no JSON object", file=file)
    if LONG_NUMBER.search(content) and (key := _key_of_large(result)):
        raise BadInput(f"{key} is a whole number below -2**63 or from 2**64 on: write it as a float or text", file=file)
    try:
        # As `worker.store` writes it and `read_ended` reads it.
        orjson.loads(json.dumps({"result": result}, allow_nan=False))
    except (orjson.JSONDecodeError, RecursionError):
        raise BadInput("the result is nested too deeply", file=file) from None
    except ValueError:
        raise BadInput("the result holds a number that is not finite", file=file) from None
    return result


def _key_of_large(result: dict[str, Any]) -> str:
    """Such as `'counts[3].pulses'`, the first number outside of `LEAST` and `MOST`; empty where there is none."""
    waiting: list[tuple[Any, str]] = [(result, "")]
    while waiting:
        value, key = waiting.pop()
        if isinstance(value, dict):
            waiting += [(one, f"{key}.{name}" if key else str(name)) for name, one in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(value[place], f"{key}[{place}]") for place in reversed(range(len(value)))]
        elif type(value) is int and not LEAST <= value <= MOST:
            return repr(key[:200])
    return ""


def read_plain(file: Path | str, limit: int = LARGEST) -> bytes | None:
    """The bytes of a plain file; None where there is none. Raises `BadInput` for a link, a pipe, or a large file."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        raise BadInput("a link or a device stands in the place of a file", file=file) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput("this is no plain file", file=file)
        if status.st_size > limit:
            raise BadInput(f"this file has {status.st_size} bytes, {limit} is the limit", file=file)
        content = os.read(descriptor, status.st_size + 1)
        while len(content) < status.st_size and (more := os.read(descriptor, 2**20)):
            content += more
    finally:
        os.close(descriptor)
    return content


def read_intermediate(folder: Path) -> dict[int, float]:
    """Step -> value, as far as the command is. A torn last line, and any other that is none, is ignored."""
    values: dict[int, float] = {}
    try:
        content = read_plain(folder / INTERMEDIATE)
    except (BadInput, PermissionError):
        return values
    for line in (content or b"").splitlines():
        try:
            body = parse_json(line, INTERMEDIATE)
            step, value = body["step"], float(body["value"])
        except (BadInput, KeyError, TypeError, ValueError, OverflowError):
            continue
        if type(step) is int and abs(step) < MOST_STEPS and abs(value) < float("inf"):
            values[step] = value
    return values


def stop_unit(folder: Path) -> None:
    """Ask the worker to end a unit: it does so within a second, unless the unit spoilt its own folder."""
    try:
        (folder / STOP).touch()
    except OSError as error:
        if error.errno in EXHAUSTED - {errno.ELOOP}:
            raise


def last_lines(folder: Path) -> str:
    """The end of a unit's log; empty where it printed nothing."""
    try:
        descriptor = os.open(folder / LOG, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        status = os.fstat(descriptor)
        begin = max(status.st_size - LAST_BYTES, 0)
        content = os.pread(descriptor, LAST_BYTES, begin) if stat.S_ISREG(status.st_mode) else b""
    finally:
        os.close(descriptor)
    text = content.decode(errors="replace")
    return "\n".join([line for line in text.splitlines() if line.strip()][-LAST_LINES:])
