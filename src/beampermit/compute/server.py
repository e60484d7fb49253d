"""The worker's end of `unit_server.py`: a process of the project's environment that has imported what units run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple, cast

from beampermit.processes import start, stop

SERVER = Path(__file__).with_name("unit_server.py")
GRACE = 6.0
"""Seconds that it may take to end a unit."""


class Run(NamedTuple):
    """How a command ended: its exit status, and "" or why it was ended: `stopped`, `time`."""

    code: int
    ended: str


class Server:
    """The process that forks. It ends when its input is closed, or with us."""

    def __init__(self, python: Path | None, module: str, cwd: Path, variables: Mapping[str, str]):
        self.key = (python, module, cwd, dict(variables))
        self._forked = 0
        """The process of the unit that runs, which leads a group."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [str(python or sys.executable), "-P", str(SERVER), module]
        pipe = subprocess.PIPE
        self._child = start(command, cwd=cwd, env=variables, stdin=pipe, stdout=pipe, stderr=self._errors)
        self._requests, self._answers = cast("IO[str]", self._child.stdin), cast("IO[str]", self._child.stdout)

    def run(self, folder: Path, seconds: float) -> Run:
        """Run the module in `folder`. Raises `EOFError` with its last words where the process ends meanwhile."""
        try:
            self._requests.write(json.dumps({"folder": str(folder), "seconds": seconds}) + "\n")
            self._requests.flush()
            self._forked = int(self._answer())
            body = json.loads(self._answer())
        except (OSError, EOFError, ValueError):
            self.close()
            raise EOFError(self._last_words()) from None
        self._forked = 0
        return Run(body["code"], body["ended"])

    def close(self) -> None:
        """End the process, the unit that it runs, and all that the unit started."""
        with suppress(OSError):
            self._requests.close()  # it knows better what the unit has started
        if self._forked:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(GRACE)
        stop(self._child)
        if self._forked:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._forked, signal.SIGKILL)
        with suppress(OSError):
            self._answers.close()

    def _answer(self) -> str:
        line = self._answers.readline()
        if not line.endswith("\n"):
            raise EOFError
        return line

    def _last_words(self) -> str:
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(self._errors.tell() - 2**12, 0))
        lines = self._errors.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
