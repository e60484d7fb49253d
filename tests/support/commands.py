"""Runs `beampermit` in the process of the tests: the same code and exit codes, without starting Python again."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from beampermit.cli import main


def beampermit(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `beampermit WORDS` in a folder, with these environment variables more."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    before = dict(os.environ)
    try:
        with pytest.MonkeyPatch.context() as patch, chdir(folder):
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            patch.setattr(sys, "argv", ["beampermit", *words])
            os.environ.update(variables)
            with pytest.raises(SystemExit) as ended:
                main.run()
    finally:
        os.environ.clear()  # the command sets some for git
        os.environ.update(before)
    out, err = (stream.buffer.getvalue().decode() for stream in streams if not stream.flush())  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(words, int(ended.value.code or 0), out, err)
