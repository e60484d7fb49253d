"""`beampermit demo`: every step from a new project to a rollback, on this machine."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.output import Json, console, progress_console, show

if TYPE_CHECKING:
    from beampermit.demo.stage import Stage


class Only(StrEnum):
    """Parts that can be played alone."""

    LOOP = "loop"
    SERVICE = "service"


def demo(
    directory: Annotated[
        Path, typer.Option("--dir", help="Folder of the demo; that of an earlier demo is replaced.")
    ] = Path("demo"),
    only: Annotated[
        Only | None,
        typer.Option(help="Play this part alone: all but the control room, or that, in the folder of an earlier demo."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Play the whole loop on this machine.

    Generate, lock, train, promote; good and bad pull requests; merge; roll back; the control room.
    """
    from beampermit.demo.loop import in_service, loop, steps
    from beampermit.demo.stage import Stage

    player = _Player()
    stage = (Stage.played if only is Only.SERVICE else Stage.prepare)(directory, player.show)
    start = time.perf_counter()
    played = {None: steps, Only.LOOP: loop, Only.SERVICE: in_service}[only]()
    done = [{"step": step.title, **player.play(step, stage)} for step in played]
    seconds = round(time.perf_counter() - start, 1)
    show({"steps": done, "seconds": seconds, "folder": str(stage.root)}, lambda: _summary(stage, seconds), as_json)


class _Player:
    """Shows each step on stderr: its title, a spinner with the last line of output, then the result."""

    def __init__(self) -> None:
        self._console = progress_console()
        self._status: Any = None

    def show(self, line: str, /, *_counts: int) -> None:
        """Show a command (`$ ...`) that starts; on a terminal also the last line that it printed."""
        from rich.text import Text

        if line.startswith("$ "):
            self._console.print(f"  {line}", style="dim", soft_wrap=True)
        elif self._status and line.strip() and self._console.is_terminal:
            self._status.update(Text.from_ansi(line)[: self._console.width - 4])

    def play(self, step: Any, stage: Stage) -> dict[str, Any]:
        """Run one step; give its result and its seconds."""
        from rich.text import Text

        self._console.print(step.title, style="bold")
        start = time.perf_counter()
        self._status = self._console.status("")
        with self._status:
            result = step.run(stage)
        seconds = round(time.perf_counter() - start, 1)
        self._console.print(Text.assemble(("  ● ", "green"), result, (f"  {seconds:.0f} s", "dim")), soft_wrap=True)
        return {"result": result, "seconds": seconds}


def _summary(stage: Stage, seconds: float) -> None:
    from beampermit.documents.screen import format_fields

    out = console()
    out.print(f"\nThe demo is complete after {seconds:.0f} s. Look at:", style="bold")
    # A path or a command that is broken into lines can be neither opened nor pasted.
    out.print(format_fields({name: str(path) for name, path in stage.results().items()}), soft_wrap=True)
    out.print("\nTo continue:", style="bold")
    for command in stage.commands():
        out.print(f"  {command}", soft_wrap=True, highlight=False)
