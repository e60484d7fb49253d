"""A rehearsal as a person sees it: a table that moves on a terminal, lines elsewhere, and a summary at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from beampermit.rehearsal.following import Watch
from beampermit.rehearsal.record import NOT_PROVEN, RULES_NOT_PROVEN, Rehearsal, RehearsedJob, Result

ICONS = {
    Result.WAITING: "dim",
    Result.RUNNING: "cyan",
    Result.SUCCESS: "green",
    Result.FAILURE: "red",
    Result.SKIPPED: "yellow",
}


@contextmanager
def display(console: Any) -> Iterator[Watch]:
    """Show jobs on `console` while they run: give the function to be told of them."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    from rich.live import Live

    table = _Table()
    with Live(get_renderable=table.draw, console=console, refresh_per_second=4, transient=True):
        yield table


def summary(found: Rehearsal) -> Any:
    """The jobs, why those that failed did, where the logs are, and what act cannot prove."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [_rows(found.jobs)]
    for job in found.failed:
        parts.append(Text(f"\n{job.name}: {job.reason}", style="bold"))
        parts += [Text(f"  {line}", style="dim") for line in job.tail]
        parts += [Text(f"  log: {job.log}")] if job.log else []
    if found.trouble:
        parts.append(Text(f"\n{found.trouble}", style="bold red"))
    word = "every job succeeded" if found.ok else "refused"
    parts.append(Text(f"\n{word}: {found.event} of {found.head[:12]}, {found.seconds:.0f} s", style="bold"))
    parts.append(Text(f"logs and artifacts: {found.folder}"))
    parts.append(Text(f"Not proven here, only GitHub applies it: {NOT_PROVEN}.", style="dim"))
    parts.append(Text(f"{RULES_NOT_PROVEN}.", style="dim"))
    return Group(*parts)


class _Table:
    """The moving table."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[RehearsedJob, float]] = {}

    def __call__(self, job: RehearsedJob) -> None:
        self._jobs[job.name] = (job, time.monotonic())

    def draw(self) -> Any:
        """The table now: the seconds of what runs go on between two reports."""
        now = time.monotonic()
        return _rows(
            [
                job.model_copy(update={"seconds": job.seconds + now - told}) if job.result is Result.RUNNING else job
                for job, told in self._jobs.values()
            ]
        )


class _Lines:
    """A line for each change of state, where there is no terminal."""

    def __init__(self, console: Any):
        self._console = console
        self._shown: dict[str, Result] = {}

    def __call__(self, job: RehearsedJob) -> None:
        if job.result is Result.WAITING or self._shown.get(job.name) is job.result:
            return
        self._shown[job.name] = job.result
        seconds = "" if job.result is Result.RUNNING else f" in {job.seconds:.1f} s"
        self._console.print(f"{job.name}: {job.result}{seconds}", markup=False, soft_wrap=True)


def _rows(jobs: Any) -> Any:
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        rows.add_column(no_wrap=True)
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column(overflow="ellipsis", no_wrap=True)
    for job in jobs:
        seconds = f"{job.seconds:.1f} s" if job.seconds else ""
        icon = Text("●", style=ICONS[job.result])
        rows.add_row(icon, Text(job.name), Text(job.result), Text(seconds, style="dim"), Text(job.step, style="dim"))
    return rows
