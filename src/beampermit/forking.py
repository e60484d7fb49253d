"""A process that has imported what takes long, and forks for each request: forks share nothing with one another.

A request is a line of JSON. Two lines answer it: the process id of the fork, and its exit status.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from beampermit.processes import start, stop

LONGEST = 2**13
"""Bytes of an answer that are read at once."""


class Forking:
    """The process that forks: it has the variables `variables` and no other, and ends when its input is closed, or with
    us."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], cwd: Path):
        self.command, self.variables = tuple(command), dict(variables)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        pipe = subprocess.PIPE
        self.child = start(command, cwd=cwd, env=variables, stdin=pipe, stdout=pipe, stderr=self.errors)
        self.requests, self.answers = cast("IO[str]", self.child.stdin), cast("IO[str]", self.child.stdout)
        self.unread = b""

    def run(self, request: Mapping[str, object], timeout: float, starting: float) -> int | None:
        """The exit status of a fork that does what `request` says; None where this process itself has ended.

        Raises `TimeoutError` where none began in `starting` seconds, or it took longer than `timeout`: then both end.
        """
        pid = 0
        try:
            self._ask(request)
            pid = self._forked(self._answer(starting))
            return self._answer(timeout)
        except EOFError:
            self._kill(pid)
            return None
        except BaseException:
            self._kill(pid)
            raise

    def close(self) -> None:
        stop(self.child)
        for stream in (self.requests, self.answers, self.errors):
            with suppress(BrokenPipeError):
                stream.close()

    def serves(self, command: Sequence[str], variables: Mapping[str, str]) -> bool:
        return self.child.poll() is None and self.command == tuple(command) and self.variables == variables

    def _ask(self, request: Mapping[str, object]) -> None:
        try:
            self.requests.write(json.dumps(request) + "\n")
            self.requests.flush()
        except BrokenPipeError:
            raise EOFError from None

    def _answer(self, timeout: float) -> int:
        # Not by the stream: a line that waits in its buffer is one that `select` does not see.
        while b"\n" not in self.unread:
            if not select.select([self.answers], [], [], timeout)[0]:
                raise TimeoutError
            read = os.read(self.answers.fileno(), LONGEST)
            if not read:
                raise EOFError
            self.unread += read
        line, _, self.unread = self.unread.partition(b"\n")
        if not line.removeprefix(b"-").isdigit():
            raise EOFError
        return int(line)

    def _forked(self, pid: int) -> int:
        """The process id of a fork, to end it with; 0 for one that is none of this process's, or has ended."""
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return 0
        return pid if status.rpartition(")")[2].split()[1] == str(self.child.pid) else 0

    def _kill(self, pid: int) -> None:
        for kill in (os.killpg, os.kill) if pid else ():  # it may not lead a group yet
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
        stop(self.child)


class Kept:
    """One process that forks, kept from request to request and asked by one thread at a time. It ends with us."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: Forking | None = None
        atexit.register(self._close)

    @contextmanager
    def use(self, command: Sequence[str], variables: Mapping[str, str], cwd: Path) -> Iterator[Forking]:
        """The process with this command and these variables; another one that is there ends."""
        with self._lock:
            if not (self._process and self._process.serves(command, variables)):
                self._close()
                self._process = Forking(command, variables, cwd)
            yield self._process

    def _close(self) -> None:
        process, self._process = self._process, None
        if process:
            process.close()


def serve(requests: IO[str], work: Callable[[Mapping[str, Any]], NoReturn]) -> None:
    """Be the process that forks: each fork leads a session of its own, and what it leaves running ends with it.

    No fork has the channel of the answers. `work` opens its streams, and ends it.
    """
    channel = os.dup(1)
    os.dup2(2, 1)
    for line in requests:
        child = os.fork()
        if not child:
            os.close(channel)
            os.setsid()
            work(json.loads(line))
        os.write(channel, f"{child}\n".encode())
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        os.write(channel, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
