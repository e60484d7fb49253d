"""DVC in a process of its own for each training, forked from one that has imported it: that takes longer than to run.

Where nothing can be forked, DVC is started anew each time.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from beampermit.processes import start, stop

SERVER = Path(__file__).with_name("dvc_server.py")
FIXED = re.compile(r"HOME|LANG|LANGUAGE|LC_\w+|LD_LIBRARY_PATH|TEMP|TMP|TMPDIR")
"""Variables that a Python may have read before it forks."""
LONGEST = 64
"""Bytes of two numbers."""


class Running(Protocol):
    """DVC and the stages that it runs, a process group."""

    @property
    def returncode(self) -> int | None:
        """The exit status that `poll` or `wait` has found."""
        ...

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


@contextmanager
def dvc(arguments: Sequence[str], *, folder: Path, variables: Mapping[str, str], log: IO[str]) -> Iterator[Running]:
    """Run DVC with `variables` and no other; it and all that it started end with the block. What it prints goes to
    `log`.
    """
    if child := _forked(arguments, folder, variables, log):
        try:
            yield child
        finally:
            child.end()
        return
    # Isolated (-I), so that no file of the project shadows a module of DVC.
    command = [sys.executable, "-I", "-m", "dvc", *arguments]
    started = start(command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield started
    finally:
        stop(started)


class _Forked:
    """A fork, known by the pipe on which it tells its process id and its exit status."""

    def __init__(self, answers: int, pid: int, rest: bytes):
        self.answers, self.pid, self.unread = answers, pid, rest
        self.returncode: int | None = None

    def poll(self) -> int | None:
        while self.returncode is None and select.select([self.answers], [], [], 0)[0]:
            self._read()
        return self.returncode

    def wait(self) -> int:
        while self.returncode is None:
            self._read()
        return self.returncode

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        os.close(self.answers)

    def _read(self) -> None:
        read = os.read(self.answers, LONGEST)
        self.unread += read
        if not read:
            told = self.unread.rstrip(b"\n")
            self.returncode = int(told) if told.isdigit() else -signal.SIGKILL


class _Server:
    """The process that forks. It ends with us, or when its socket is closed."""

    def __init__(self, variables: Mapping[str, str]):
        self.variables = dict(variables)
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-I", SERVER]
            nothing = subprocess.DEVNULL
            self.child = start(
                command, cwd=Path("/"), env=variables, stdin=theirs.fileno(), stdout=nothing, stderr=nothing
            )

    def fork(self, request: bytes, log: IO[str]) -> _Forked | None:
        """None where it does not answer."""
        answers, theirs = os.pipe()
        try:
            socket.send_fds(self.channel, [request], [log.fileno(), theirs])
            os.close(theirs)
            theirs = -1
            read = b""
            while b"\n" not in read:
                read += (more := os.read(answers, LONGEST))
                if not more:
                    raise BrokenPipeError
        except OSError:
            os.close(answers)
            return None
        finally:
            if theirs >= 0:
                os.close(theirs)
        pid, _, rest = read.partition(b"\n")
        return _Forked(answers, int(pid), rest)

    def close(self) -> None:
        self.channel.close()
        stop(self.child)


_lock = threading.Lock()
_servers: list[_Server] = []


def _forked(arguments: Sequence[str], folder: Path, variables: Mapping[str, str], log: IO[str]) -> _Forked | None:
    if sys.platform != "linux":  # a fork of what has imported so much is not safe everywhere
        return None
    fixed = {name: value for name, value in variables.items() if FIXED.fullmatch(name)}
    request = {"arguments": [*arguments], "folder": str(folder), "variables": dict(variables)}
    with _lock:
        server = _server_for(fixed)
        child = server.fork(json.dumps(request).encode(), log)
        if child is None:
            _close()
        return child


def _server_for(variables: Mapping[str, str]) -> _Server:
    if _servers and _servers[0].variables == variables and _servers[0].child.poll() is None:
        return _servers[0]
    _close()
    _servers.append(_Server(variables))
    return _servers[0]


@atexit.register
def _close() -> None:
    while _servers:
        _servers.pop().close()
