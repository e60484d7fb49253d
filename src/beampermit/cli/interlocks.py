"""`beampermit interlocks`: the laboratory's own interlocks beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Folder, Json, console, show

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Install a laboratory's own interlocks.")


@app.callback()
def interlocks() -> None:
    """A group, though it has one command."""


@app.command()
def install(
    project: Folder = Path(),
    base: Annotated[
        str | None, typer.Option(help="Revision whose lock counts.", show_default="the pull request's base")
    ] = None,
    as_json: Json = False,
) -> None:
    """Install what the protected branch locks, beside the checker.

    By hash, from .github/interlocks.lock; nothing is done where there is none.
    """
    from beampermit.interlocks.own.installation import install as install_packages
    from beampermit.interlocks.own.lock import lock_of
    from beampermit.project import Project

    lock = lock_of(Project.find(project.resolve(), base))
    if lock is None:
        nothing = "the protected branch asks for no interlocks of the laboratory's own"
        show({"packages": [], "folder": None}, lambda: console().print(nothing), as_json)
        return
    folder = install_packages(lock)
    line = f"{', '.join(package.label for package in lock.packages)}: installed in {folder}"
    body = {"packages": [package.model_dump(mode="json") for package in lock.packages], "folder": str(folder)}
    show(body, lambda: console().print(line), as_json)
