"""`beampermit data staged`: is what is about to be committed for git at all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.options import Folder
from beampermit.cli.output import Json, console, show

SHOWN = 20


def staged(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE ...]", help="Files to look at; all that are staged if none.")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Find data and models among what is staged, by name, first bytes and size. Exit code 1: take them back."""
    from beampermit.datasets import staged as judge
    from beampermit.documents.markdown import visible
    from beampermit.git import Git, find_root

    found = list(judge.staged(Git(find_root(project.resolve())), [str(Path(file).absolute()) for file in files or ()]))

    def text() -> None:
        for stray in found[:SHOWN]:
            console().print(f"{visible(stray.path)}: {stray.what}", markup=False, soft_wrap=True)
        if len(found) > SHOWN:
            console().print(f"and {len(found) - SHOWN} more")
        if found:
            console().print(
                "These belong to DVC. Take them out of the commit, and keep them there: "
                "git rm --cached FILE, then dvc add FILE",
                soft_wrap=True,
            )

    show([{"file": stray.path, "what": stray.what} for stray in found], text, as_json)
    raise typer.Exit(1 if found else 0)
