"""A rehearsal ends with all that it started, also what hides its variables as a checker does."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from beampermit.errors import Outside
from beampermit.rehearsal import runner


def test_a_process_whose_mark_cannot_be_read_ends_with_the_rehearsal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = f"96{os.getpid()}"
    call: Any = SimpleNamespace(clone=tmp_path, run="this one")
    monkeypatch.setattr(runner, "namespace", list)
    monkeypatch.setattr(runner, "environment", lambda _: dict(os.environ))
    script = f"env -i setsid sleep {words} & touch begun; sleep {words}"
    monkeypatch.setattr(runner, "command", lambda _: ["bash", "-c", script])
    with pytest.raises(Outside, match="took longer than 2 s"):
        list(runner.lines(call, timeout=2))
    assert (tmp_path / "begun").is_file()
    time.sleep(0.2)
    assert not [process for process in psutil.process_iter(["cmdline"]) if words in (process.info["cmdline"] or ())]
