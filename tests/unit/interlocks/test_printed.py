"""What a laboratory's own check prints: its end is kept, whatever and however long it prints."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from beampermit.interlocks.own.printed import SHOWN, Printed
from support.units_of_work import wait_for


@pytest.mark.parametrize("more", [0, 1, 3 * SHOWN])
def test_of_what_it_prints_the_end_is_kept_and_what_is_left_out_is_said(tmp_path: Path, more: int) -> None:
    pipe = tmp_path / "output"
    text = b"x" * more + b"y" * SHOWN
    with Printed(pipe) as printed:
        subprocess.run(["tee", pipe], input=text, stdout=subprocess.DEVNULL, check=True)
        assert pipe.stat().st_size == 0, "nothing of it is on the disk"
    *left_out, kept = printed.lines()
    assert kept == "y" * SHOWN
    note = f"[{more} bytes that it printed before this are left out: the last {SHOWN} are kept]"
    assert left_out == ([note] if more else [])


def test_what_still_prints_after_the_check_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    with ExitStack() as ending:
        with Printed(tmp_path / "output") as printed, (tmp_path / "output").open("wb") as stream:
            child = subprocess.Popen(["yes"], stdout=stream, start_new_session=True)
            ending.callback(child.kill)
            wait_for(lambda: printed._left_out)
        assert child.wait(60) == -signal.SIGPIPE
    note, *shown = printed.lines()
    assert re.fullmatch(rf"\[\d+ bytes that it printed before this are left out: the last {SHOWN} are kept\]", note)
    assert ({*shown}, len(shown)) == ({"y"}, SHOWN // len("y\n"))


@pytest.mark.slow
def test_what_is_added_while_it_prints_is_counted_too(tmp_path: Path) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Printed(tmp_path / "output") as printed, (tmp_path / "output").open("wb", buffering=0) as stream:
            writer = threading.Thread(target=lambda: [stream.write(b"x" * 100) for _ in range(2000)])
            writer.start()
            for _ in range(2000):
                printed.add(b"y" * 100)
            writer.join()
    finally:
        sys.setswitchinterval(before)
    note, _ = printed.lines()
    assert note.startswith(f"[{4000 * 100 - SHOWN} bytes ")


def test_it_is_read_where_many_files_are_open(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = limits[1] if limits[1] != resource.RLIM_INFINITY else 2048
    if most < 2048:
        pytest.skip(f"a process may open {most} files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, limits[1]))
    many: list[int] = []
    try:
        while not many or many[-1] < 1024:
            many.append(os.dup(0))
        with Printed(tmp_path / "output") as printed:
            (tmp_path / "output").write_text("seen")
    finally:
        for file in many:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert list(printed.lines()) == ["seen"]
