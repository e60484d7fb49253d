"""`beampermit mirror`: what a laboratory without the internet must have copies of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Json, console, plain_lines, show

if TYPE_CHECKING:
    from beampermit.mirroring import Needed

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="List what a laboratory without internet must copy.")


@app.callback()
def mirror() -> None:
    """A group, though it has one command."""


@app.command("list")
def list_needed(
    project: Annotated[
        Path | None, typer.Argument(metavar="[PROJECT]", help="A project, whose lock and images are listed too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List what must be mirrored: actions, packages, channels, images.

    Written from workflows, actions, template and locks; with --json also each SHA-256 and the files that name it.
    """
    from beampermit.mirroring import needed
    from beampermit.project import Project

    root = Project.find(project.resolve()).root if project else None
    found = needed(root)
    body = [one.model_dump(mode="json", exclude_defaults=True) for one in found]
    show(body, lambda: console().print(plain_lines(_lines(found)), soft_wrap=True, highlight=False), as_json)


def _lines(found: tuple[Needed, ...]) -> list[str]:
    """One line each, below a heading for each kind."""
    lines: list[str] = []
    for kind in dict.fromkeys(one.kind for one in found):
        of_kind = [one for one in found if one.kind == kind]
        lines += [f"{kind}: {len(of_kind)}", *(f"  {_line(one)}" for one in of_kind)]
    return lines


def _line(one: Needed) -> str:
    name = f"{one.name}@{one.pin}" if one.pin else one.name
    words = (name, one.version, "(a program)" if one.program else "", one.source and f"from {one.source}")
    return " ".join(word for word in words if word)
