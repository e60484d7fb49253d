"""A Python of the project's environment with MLflow imported, which forks for each saved model that it is given.

Importing MLflow and torch takes seconds, a model often milliseconds. Each model still has a process of its own, which
shares nothing with those before and after it.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from beampermit.environments import Environment
from beampermit.errors import Outside
from beampermit.processes import REPEATABLE, TIMEOUT, Finished, start, stop

WORKER = Path(__file__).with_name("worker.py")
LONGEST = 2**13
"""Bytes of what a model printed, of which the end is quoted where it fails."""


def run_worker(
    environment: Environment,
    arguments: Sequence[str | Path],
    *,
    folder: Path,
    modules: Sequence[str] = (),
    timeout: float = TIMEOUT,
) -> Finished:
    """Run `worker.py *arguments` in `folder`, forked from a process that has imported `modules` besides MLflow.

    Raises `Outside` when `timeout` (seconds) has passed.
    """
    command = (str(environment.python), "-P", str(WORKER), "serve", *modules)
    if sys.platform != "linux":  # a fork of what has imported so much is not safe everywhere
        words = ["-P", WORKER, *arguments]
        return environment.run(words, project=folder, env=REPEATABLE, timeout=timeout, own_code=False)
    with _lock:
        server = _server_for(command, {**environment.clean_variables(None), **REPEATABLE})
        return server.run([str(word) for word in arguments], folder, timeout)


class _Server:
    """The process that forks: it has none of our variables, and ends when its input is closed, or with us."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str]):
        self.command, self.variables = tuple(command), dict(variables)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        pipe = subprocess.PIPE
        self.child = start(command, cwd=Path("/"), env=variables, stdin=pipe, stdout=pipe, stderr=self.errors)
        self.requests, self.answers = cast("IO[str]", self.child.stdin), cast("IO[str]", self.child.stdout)
        self.unread = b""

    def run(self, arguments: Sequence[str], folder: Path, timeout: float) -> Finished:
        command = (*self.command[:3], *arguments)
        out, err = folder / "stdout", folder / "stderr"
        pid = 0
        # Opened here before the model runs: it may put a link to a file of ours in their place.
        with out.open("w+b") as printed, err.open("w+b") as complained:
            try:
                self._ask({"arguments": arguments, "folder": str(folder), "out": str(out), "err": str(err)})
                pid = self._forked(self._answer(timeout))
                return Finished(command, self._answer(timeout), _end(printed), _end(complained))
            except EOFError:
                self._kill(pid)
                return Finished(command, self.child.returncode, "", _end(self.errors))
            except TimeoutError:
                self._kill(pid)
                raise Outside(f"{' '.join(command[:4])} took longer than {timeout:g} s and was stopped") from None
            except BaseException:
                self._kill(pid)
                raise

    def close(self) -> None:
        stop(self.child)
        for stream in (self.requests, self.answers, self.errors):
            with suppress(BrokenPipeError):
                stream.close()

    def serves(self, command: Sequence[str], variables: Mapping[str, str]) -> bool:
        return self.child.poll() is None and self.command == command and self.variables == variables

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
        """The process id of a model, to end it with; 0 for one that is none of this server's, or has ended."""
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return 0
        return pid if status.rpartition(")")[2].split()[1] == str(self.child.pid) else 0

    def _kill(self, pid: int) -> None:
        if pid:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        stop(self.child)


_lock = threading.Lock()
_servers: list[_Server] = []


def _server_for(command: Sequence[str], variables: Mapping[str, str]) -> _Server:
    """The server with this command and these variables; another one that is there ends."""
    if _servers and _servers[0].serves(command, variables):
        return _servers[0]
    _close()
    _servers.append(_Server(command, variables))
    return _servers[0]


@atexit.register
def _close() -> None:
    while _servers:
        _servers.pop().close()


def _end(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST))
    return file.read().decode("utf-8", "replace")
