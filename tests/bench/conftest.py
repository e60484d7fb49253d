"""Measurements are printed, side by side and as ratios of one run on one machine; nothing asserts a time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from beampermit.processes import run

Timed = Callable[..., float]


@pytest.fixture
def timed() -> Timed:
    """Run a command that must end well in `cwd`; give its seconds, the best of `repeat`."""

    def measure(command: Sequence[str | Path], cwd: Path, repeat: int = 1, env: dict[str, str] | None = None) -> float:
        seconds = []
        for _ in range(repeat):
            start = time.perf_counter()
            finished = run(command, cwd=cwd, env=env)
            seconds.append(time.perf_counter() - start)
            assert finished.code == 0, finished.out[-3000:] + finished.err[-3000:]
        return min(seconds)

    return measure


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a line of results, whatever pytest captures."""

    def line(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"  {text}\n")

    with capsys.disabled():
        sys.stdout.write(f"\n  {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    return line
