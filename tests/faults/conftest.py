"""The laboratory that faults are planted in, and processes that are really killed."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.errors import BeampermitError
from laboratory import database, laboratory, prepared

__all__ = ["database", "laboratory", "prepared"]

Action = Callable[[Callable[[str], None]], Any]
BROKE = 99
_FORK = multiprocessing.get_context("fork")


class Child:
    """A process of its own that does `action`, and ends as the command would: with its exit code."""

    def __init__(self, action: Action, watch: Callable[[str], None]):
        self._process = _FORK.Process(target=self._run, args=(action, watch))
        self._process.start()

    @staticmethod
    def _run(action: Action, watch: Callable[[str], None]) -> None:
        code = 0
        try:
            action(watch)
        except BeampermitError as error:
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


@pytest.fixture
def kill() -> Callable[[Action, str], None]:
    """Do `action` in a process that dies by SIGKILL at the moment it announces `step`."""

    def run(action: Action, step: str) -> None:
        def watch(announced: str) -> None:
            if announced == step:
                os.kill(os.getpid(), signal.SIGKILL)

        assert Child(action, watch).code() == -signal.SIGKILL, f"the step {step!r} was never announced"

    return run


@pytest.fixture
def fill() -> Callable[[Action, str], int]:
    """Do `action` in a process that can write no more from the moment it announces `step`; give its exit code."""

    def run(action: Action, step: str) -> int:
        def watch(announced: str) -> None:
            if announced == step:
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

        return Child(action, watch).code()

    return run


@pytest.fixture
def race() -> Callable[..., list[int]]:
    """Do several actions at once, each stopped at `step` until all have come that far; give their exit codes."""

    def run(*actions: Action, step: str) -> list[int]:
        barrier = _FORK.Barrier(len(actions))

        def watch(announced: str) -> None:
            if announced == step:
                barrier.wait(60)

        children = [Child(action, watch) for action in actions]
        return [child.code() for child in children]

    return run
