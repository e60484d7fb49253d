"""`beampermit reproduce`: train a commit again from nothing, and say how what comes out compares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.output import Json, console, progress_console, show


def reproduce(
    commit: Annotated[
        str | None, typer.Argument(help="The commit to make again.", show_default="the files as they stand")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N,N,...|all", help="Train with these seeds too; all: those of the contract."),
    ] = None,
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Take an environment that was made from the same lock before.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the metrics, weights and logs of each training.")] = None,
    project: Annotated[Path, typer.Option(help="The project's folder.", show_default="this folder")] = Path(),
    as_json: Json = False,
) -> None:
    """Make a model again: clean work tree, its lock, its data, its own stages; then compare it with what is committed.

    Run again after it was killed, it goes on with the seeds that are left. Exit code 1: not the same model.
    """
    from beampermit.documents.reproduction import text
    from beampermit.errors import BadInput
    from beampermit.project import Project
    from beampermit.reproduction.environments import fresh, reused
    from beampermit.reproduction.reproduce import reproduce as again
    from beampermit.reproduction.worktree import commit_of_work_tree

    found = Project.find(project.resolve())
    chosen = found.git.resolve(commit) if commit else commit_of_work_tree(found.git)
    if chosen is None:
        raise BadInput(f"{commit!r} is no commit of this repository", file=found.root, hint="git fetch origin")
    with _progress() as watch:
        done = again(
            found,
            found.judge,
            chosen,
            (reused if reuse else fresh)(watch),
            seeds=_seeds(seeds, found.judge.reproducibility.seeds),
            out=out,
            watch=watch,
        )
    show(done.as_json(), lambda: console().print(text(done), markup=False, soft_wrap=True), as_json)
    raise typer.Exit(0 if done.sound else 1)


def _seeds(words: str | None, of_contract: tuple[int, ...]) -> tuple[int, ...]:
    if words is None:
        return ()
    if words == "all":
        return of_contract
    try:
        return tuple(dict.fromkeys(int(word) for word in words.split(",")))
    except ValueError:
        raise typer.BadParameter("whole numbers with commas between, or all", param_hint="--seeds") from None


@contextmanager
def _progress() -> Iterator[Any]:
    """One changing line on a terminal: what is being done, and how long each seed has been training."""
    from rich.markup import escape

    from beampermit.processes import ended_by_signals

    to = progress_console()
    with ended_by_signals(), to.status("") as status:
        yield lambda words: status.update(escape(words))
