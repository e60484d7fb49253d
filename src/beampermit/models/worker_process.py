"""A Python of the project's environment with MLflow imported, which forks for each saved model that it is given.

Importing MLflow and torch takes seconds, a model often milliseconds. Each model still has a process of its own, which
shares nothing with those before and after it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from beampermit.environments import Environment
from beampermit.errors import Outside
from beampermit.forking import Forking, Kept
from beampermit.processes import REPEATABLE, TIMEOUT, Finished

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
    with _kept.use(command, {**environment.clean_variables(None), **REPEATABLE}, Path("/")) as server:
        return _ask(server, [str(word) for word in arguments], folder, timeout)


def _ask(server: Forking, arguments: Sequence[str], folder: Path, timeout: float) -> Finished:
    command = (*server.command[:3], *arguments)
    out, err = folder / "stdout", folder / "stderr"
    # Opened here before the model runs: it may put a link to a file of ours in their place.
    with out.open("w+b") as printed, err.open("w+b") as complained:
        request = {"arguments": arguments, "folder": str(folder), "out": str(out), "err": str(err)}
        try:
            code = server.run(request, timeout, timeout)
        except TimeoutError:
            raise Outside(f"{' '.join(command[:4])} took longer than {timeout:g} s and was stopped") from None
        if code is None:
            return Finished(command, server.child.returncode, "", _end(server.errors))
        return Finished(command, code, _end(printed), _end(complained))


_kept = Kept()


def _end(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST))
    return file.read().decode("utf-8", "replace")
