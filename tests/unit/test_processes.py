"""A child never outlives us; a missing program is an error that names it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil
import pytest

from beampermit.errors import Outside
from beampermit.processes import run


def test_invalid_utf8_in_output_is_replaced(tmp_path: Path) -> None:
    finished = run([sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'\\xff ok')"], cwd=tmp_path)
    assert finished.code == 0
    assert finished.tail == "\ufffd ok"


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(Outside, match="'no-such-program' is not on this machine"):
        run(["no-such-program"], cwd=tmp_path)


def test_a_time_out_ends_grandchildren_too(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('pid', 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(Outside, match="took longer than 1 s and was stopped"):
        run([sys.executable, "-c", script], cwd=tmp_path, timeout=1)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while _runs(pid):
        assert time.monotonic() < deadline, "the grandchild is still running"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
