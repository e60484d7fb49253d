"""Fixtures: a laboratory to plant faults in, and processes that are really killed."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from multiprocessing.connection import Connection
from typing import Any

import pytest

from beampermit.cli import main
from beampermit.environments import Environment
from beampermit.errors import BeampermitError
from beampermit.interlocks.families import load_interlocks
from support.loopback import listening
from support.registry_project import SECRET, Laboratory, database, laboratory, loads, prepared

__all__ = ["database", "laboratory", "prepared"]

Action = Callable[[Callable[[str], None]], Any]
BROKE = 99
_FORK = multiprocessing.get_context("fork")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """A server that gives one answer to every request, `after` so many seconds; returns its URL, with a password."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    servers = ExitStack()

    def start(status: int, body: object = "no", after: float = 0.0) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                time.sleep(after)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names are http.server's

            def log_message(self, format: str, *args: object) -> None:
                pass

        return f"http://ada:{SECRET}@127.0.0.1:{servers.enter_context(listening(Answer))}"

    with servers:
        yield start


@dataclass(frozen=True)
class Completed:
    """Exit code and output of a command; `err` is the error on stderr, without the steps before it."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Completed]:
    """Run `beampermit WORDS` in a laboratory, with a simple test deployment instead of the real one."""
    monkeypatch.setattr("beampermit.live.deployment.deploy", lambda *given: loads(given[-1]))
    load_interlocks()  # so that no module imports what is replaced
    monkeypatch.setattr("beampermit.environments.environment.environment_of", Environment)

    def run(laboratory: Laboratory, *words: str) -> Completed:
        capsys.readouterr()
        with monkeypatch.context() as here:
            here.chdir(laboratory.root)
            here.setenv("MLFLOW_TRACKING_URI", laboratory.uri)
            here.setattr(sys, "argv", ["beampermit", *words])
            with pytest.raises(SystemExit) as ended:
                main.run()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert SECRET not in err
        lines = err.splitlines(keepends=True)
        error = next((place for place, line in enumerate(lines) if line.startswith("beampermit: ")), len(lines))
        assert isinstance(ended.value.code, int)
        return Completed(ended.value.code, out, "".join(lines[error:]))

    return run


class Child:
    """A process that runs `action` and ends with the exit code of the command."""

    def __init__(self, action: Action, progress: Callable[[str], None]):
        self._told, tell = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=self._run, args=(action, progress, tell))
        self._process.start()
        tell.close()

    @staticmethod
    def _run(action: Action, progress: Callable[[str], None], tell: Connection) -> None:
        gc.disable()  # it soon ends, and a look at all that was imported would copy it
        code = 0
        try:
            action(progress)
        except BeampermitError as error:
            tell.send(f"{error} next: {error.hint}")
            code = error.exit_code
        except BaseException:
            traceback.print_exc()
            code = BROKE
        os._exit(code)

    def code(self) -> int:
        """Its exit status; negative for the signal that killed it."""
        self._process.join(120)
        assert self._process.exitcode is not None, "the child hangs"
        return self._process.exitcode

    def said(self) -> str:
        """Message and hint; to be read when the process has ended."""
        return self._told.recv() if self._told.poll() else ""


@pytest.fixture
def kill() -> Callable[[Action, str], None]:
    """Run `action` in a process that is killed by SIGKILL when it announces `step`."""

    def run(action: Action, step: str) -> None:
        def progress(announced: str) -> None:
            if announced == step:
                os.kill(os.getpid(), signal.SIGKILL)

        assert Child(action, progress).code() == -signal.SIGKILL, f"the step {step!r} was never announced"

    return run


@pytest.fixture
def fill() -> Callable[[Action, str], tuple[int, str]]:
    """Run `action` in a process that cannot write any more once it announces `step`: exit code and message."""

    def run(action: Action, step: str) -> tuple[int, str]:
        def progress(announced: str) -> None:
            if announced == step:
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

        child = Child(action, progress)
        return child.code(), child.said()

    return run


@pytest.fixture
def race() -> Callable[..., list[int]]:
    """Run several actions at once, each stopped at `step` until all have reached it; returns their exit codes."""

    def run(*actions: Action, step: str) -> list[int]:
        barrier = _FORK.Barrier(len(actions))

        def progress(announced: str) -> None:
            if announced == step:
                barrier.wait(60)

        children = [Child(action, progress) for action in actions]
        codes = [child.code() for child in children]
        for code, child in zip(codes, children, strict=True):
            assert code != 3 or "somebody else was first" in (said := child.said()), said
        return codes

    return run
