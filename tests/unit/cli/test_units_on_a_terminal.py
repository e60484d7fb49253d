"""What somebody sees on a terminal while units are performed: a bar with done, running, failed and the time left."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich import progress as rich_progress
from rich.console import Console

from beampermit.cli import output
from beampermit.compute import collect
from beampermit.compute.unit import Unit
from beampermit.compute.worker import store

MINUTE = 60.0


class Slow:
    """Has two slots; each minute the unit that waits longest ends, the second one without a result."""

    slots, late = 2, 0.0

    def __init__(self, clock: SimpleNamespace, queued: str):
        self.clock, self.queued = clock, queued
        self.submitted: list[Path] = []
        self.count = 0

    def submit(self, folders: Sequence[Path]) -> None:
        self.submitted += folders

    def ended(self, wait: float) -> Mapping[Path, str]:
        self.clock.now += MINUTE
        self.count += 1
        folder = self.submitted.pop(0)
        store(folder, None if self.count == 2 else {"x": 1}, reason="no beam" if self.count == 2 else "")
        return {folder: ""}

    def waiting(self) -> str:
        return self.queued if self.count == 3 else ""

    def cancel(self) -> None: ...


class Drawn(rich_progress.Progress):
    """Draws each step, and not ten times a second."""

    def update(self, *arguments: Any, **named: Any) -> None:
        super().update(*arguments, **named)
        self.refresh()


def test_a_bar_says_what_is_done_runs_waits_and_failed_and_how_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, screen = SimpleNamespace(now=1000.0), io.StringIO()
    terminal = Console(
        file=screen, force_terminal=True, width=100, color_system=None, legacy_windows=False, get_time=lambda: clock.now
    )
    monkeypatch.setattr(collect, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(output, "progress_console", lambda: terminal)
    monkeypatch.setattr(rich_progress, "Progress", Drawn)
    units = (Unit(f"trial {x}", "none", {"x": x}) for x in range(5))
    executor: Any = Slow(clock, "1 of 2 jobs queued (Priority)")
    with output.shown_progress() as progress:
        ended = list(collect.perform_all(units, executor, tmp_path, progress, total=5, what="trials"))
    assert len(ended) == 5
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", screen.getvalue())
    shown = list(dict.fromkeys(re.findall(r"(trials: .*?) *[━╸╺ ]+ (\d/5)", text)))
    assert shown == [
        ("trials: 2 running", "0/5"),
        ("trials: 2 running, about 4 min left", "1/5"),
        ("trials: 2 running, 1 failed, about 3 min left", "2/5"),
        ("trials: 2 submitted, 1 of 2 jobs queued (Priority), 1 failed, about 2 min left", "3/5"),
        ("trials: 1 running, 1 failed, about 60 s left", "4/5"),
    ]
    assert screen.getvalue().count("\x1b[?25h") == 1, "the cursor is back"
