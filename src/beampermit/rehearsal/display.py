"""Show a rehearsal: a live table on a terminal, lines in a log, and a summary at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from beampermit.rehearsal.act_log import Watch
from beampermit.rehearsal.record import NOT_PROVEN, RULES_NOT_PROVEN, Rehearsal, RehearsedJob, Result

STYLES = {
    Result.WAITING: "dim",
    Result.RUNNING: "cyan",
    Result.SUCCESS: "green",
    Result.FAILURE: "red",
    Result.SKIPPED: "yellow",
}


@contextmanager
def display(console: Any) -> Iterator[Watch]:
    """Show jobs on `console` while they run; yields the function to call when a job changes."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    from rich.live import Live

    table = _Table()
    with Live(get_renderable=table.draw, console=console, refresh_per_second=4, transient=True):
        yield table


def summary(rehearsal: Rehearsal) -> Any:
    """The jobs, why some failed, where the logs are, and what act cannot test; to be printed without wrapping."""
    from rich.text import Text

    width = max((len(job.name) for job in rehearsal.jobs), default=0)
    parts = [
        Text.assemble(("●", STYLES[job.result]), f"  {job.name:<{width}}  {job.result:<7}  {job.seconds:7.1f} s")
        for job in rehearsal.jobs
    ]
    for job in rehearsal.failed:
        parts.append(Text(f"\n{job.name}: {job.reason}", style="bold"))
        parts += [Text(f"  {line}", style="dim") for line in job.tail]
        parts += [Text(f"  log: {job.log}")] if job.log else []
    if rehearsal.trouble:
        parts.append(Text(f"\n{rehearsal.trouble}", style="bold red"))
    outcome = "every job succeeded" if rehearsal.ok else "failed"
    run = f"{rehearsal.event} of {rehearsal.head[:12]}, {rehearsal.seconds:.0f} s"
    parts.append(Text(f"\n{run}: {outcome}", style="bold"))
    parts.append(Text(f"logs and artifacts: {rehearsal.folder}"))
    parts.append(Text(f"Not tested here, because only GitHub applies it: {NOT_PROVEN}.", style="dim"))
    parts.append(Text(f"{RULES_NOT_PROVEN}.", style="dim"))
    return Text("\n").join(parts)


class _Table:
    def __init__(self) -> None:
        self._jobs: dict[str, tuple[RehearsedJob, float]] = {}

    def __call__(self, job: RehearsedJob) -> None:
        self._jobs[job.name] = (job, time.monotonic())

    def draw(self) -> Any:
        """The seconds of running jobs advance between two changes."""
        now = time.monotonic()
        return _rows(
            [
                job.model_copy(update={"seconds": job.seconds + now - changed}) if job.result is Result.RUNNING else job
                for job, changed in self._jobs.values()
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
        self._console.print(f"{job.name}: {job.result}{seconds}", soft_wrap=True)


def _rows(jobs: Sequence[RehearsedJob]) -> Any:
    """A table as wide as the terminal: of a step only as much as fits."""
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        rows.add_column(no_wrap=True)
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column(overflow="ellipsis", no_wrap=True)
    for job in jobs:
        seconds = f"{job.seconds:.1f} s" if job.seconds else ""
        icon = Text("●", style=STYLES[job.result])
        rows.add_row(icon, Text(job.name), Text(job.result), Text(seconds, style="dim"), Text(job.step, style="dim"))
    return rows
