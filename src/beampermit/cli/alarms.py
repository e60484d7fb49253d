"""`beampermit alarms`: the model's alarms and what is done about them, for the laboratory's alarm system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from beampermit.cli.options import Folder
from beampermit.cli.output import Json, console, show


def alarms(
    format: Annotated[Literal["phoebus", "jaws"], typer.Option("--format", help="The alarm system.")] = "phoebus",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("alarms"),
    config: Annotated[
        str | None,
        typer.Option(help="Phoebus: the configuration it is imported into.", show_default="the model's name"),
    ] = None,
    where: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the alarm tree: the PVs of the outputs, and for each alarm what it means and what is done."""
    from beampermit.documents import alarm_tree
    from beampermit.documents.alarm_tree import files
    from beampermit.files import write_text
    from beampermit.project import Project

    found = alarm_tree.tree(Project.find(where.resolve()))
    texts = files.phoebus_files(found, config) if format == "phoebus" else files.jaws_files(found)
    for name, text in texts.items():
        write_text(out / name, text)
    paths = [str(out / name) for name in texts]
    show({"files": paths, "pvs": found.pvs}, lambda: console().print(*paths, markup=False), as_json)
