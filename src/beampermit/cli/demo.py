"""`beampermit demo`: play the whole loop and say where everything is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.output import Json, console, fields, progress_console, show

if TYPE_CHECKING:
    from beampermit.demo.stage import Stage


def demo(
    directory: Annotated[
        Path, typer.Option("--dir", help="Where to play; made, and made anew when a demo made it.")
    ] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Play the whole loop on this machine.

    Generate, lock, train and promote; good and bad pull requests; merge; rollback.
    """
    from beampermit.demo.loop import steps
    from beampermit.demo.stage import Stage

    player = _Player()
    stage = Stage.prepare(directory, player.see)
    start = time.perf_counter()
    done = [{"step": step.title, **player.play(step, stage)} for step in steps()]
    seconds = round(time.perf_counter() - start, 1)
    show({"steps": done, "seconds": seconds, "folder": str(stage.root)}, lambda: _summary(stage, seconds), as_json)


class _Player:
    """One line a step on stderr: turning while it runs with what it is doing, then what came of it."""

    def __init__(self) -> None:
        self._console = progress_console()
        self._status: Any = None

    def see(self, line: str) -> None:
        """Show the command that runs, or the line it just printed."""
        from rich.text import Text

        if line.startswith("$ ") or not self._console.is_terminal:
            self._command(line)
        elif self._status and line.strip():
            self._status.update(Text.from_ansi(line)[: self._console.width - 4])

    def play(self, step: Any, stage: Stage) -> dict[str, Any]:
        """Play one step; give what it says and its seconds."""
        from rich.text import Text

        self._console.print(Text(step.title, style="bold"))
        start = time.perf_counter()
        self._status = self._console.status("")
        with self._status:
            said = step.act(stage)
        seconds = round(time.perf_counter() - start, 1)
        self._console.print(Text.assemble(("  ● ", "green"), said, (f"  {seconds:.0f} s", "dim")))
        return {"said": said, "seconds": seconds}

    def _command(self, line: str) -> None:
        from rich.text import Text

        if line.startswith("$ "):
            self._console.print(Text(f"  {line}", style="dim"), overflow="ellipsis", no_wrap=True)


def _summary(stage: Stage, seconds: float) -> None:
    from rich.text import Text

    out = console()
    out.print(Text(f"\nThe loop is closed, in {seconds:.0f} s. Look at:", style="bold"))
    out.print(fields({name: str(path) for name, path in stage.results().items()}))
    out.print(Text("\nGo on from here:", style="bold"))
    for command in stage.commands():
        out.print(Text(f"  {command}"))
