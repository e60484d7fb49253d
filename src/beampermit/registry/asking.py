"""Asks a registry in a process of its own: MLflow takes seconds and 200 MB to import, and a service runs for months."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, Outside
from beampermit.processes import Finished, called_after, clean_variables, start, stop

PROGRAM = "beampermit.registry.answering"
PATIENCE = 1800.0
"""Seconds that a download may take."""
UNTAKEN = 120.0
"""Seconds after which no question is expected any more: what waits has MLflow in memory."""


class RegistryProcess:
    """Answers one question. It imports MLflow before it knows which."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        # A folder that is always there: its own one comes with the question.
        command, folder = [sys.executable, "-P", "-m", PROGRAM], Path("/")
        self._untaken, self._running = threading.Lock(), threading.Lock()
        self._process = start(command, cwd=folder, env=clean_variables(), stdin=pipe, stdout=pipe, stderr=pipe)

    def take(self) -> bool:
        """True for the first one who calls it, to ask; not where it has ended."""
        return self._untaken.acquire(blocking=False) and self._process.poll() is None

    def end_untaken(self) -> None:
        if self._untaken.acquire(blocking=False):
            self.end()

    def ask(self, folder: Path, request: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
        """What it answers; `variables` are those that MLflow reads, `folder` is where its paths count from.

        Raises `BadInput` and `Outside` as the question would in this process, and `Outside` where there is no answer.
        """
        finished = self._finished(json.dumps({**request, "folder": str(folder), "variables": variables}))
        try:
            answer = json.loads(finished.out)
        except ValueError:
            raise Outside(f"the registry could not be asked: {finished.tail}") from None
        if "error" in answer:
            error = BadInput if answer["code"] == BadInput.exit_code else Outside
            raise error(answer["error"], hint=answer["hint"])
        return answer

    def end(self) -> None:
        """Once: the number of a process that has ended may be another one's."""
        if self._running.acquire(blocking=False):
            with self._process:
                stop(self._process)

    def _finished(self, question: str) -> Finished:
        try:
            out, err = self._process.communicate(question, PATIENCE)
        except subprocess.TimeoutExpired:
            raise Outside(f"to ask the registry took longer than {PATIENCE:g} s and was stopped") from None
        finally:
            self.end()
        return Finished((PROGRAM,), self._process.returncode, out, err)


@contextmanager
def registry_process(*, wanted: bool) -> Iterator[RegistryProcess | None]:
    """A process that is begun now, and ended where nobody has asked it for long; none where none is wanted."""
    if not wanted:
        yield None
        return
    begun = RegistryProcess()
    try:
        with called_after(UNTAKEN, begun.end_untaken):
            yield begun
    finally:
        begun.end()
