"""`beampermit papers`: all papers of a release in one folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.options import Folder
from beampermit.cli.output import Json, console, show
from beampermit.cli.report import Permit, Verdicts


class Kind(StrEnum):
    """What can be left out; the names are those of `beampermit.documents.bundle`."""

    CARD = "card"
    RUNBOOK = "runbook"
    DATASHEET = "datasheet"
    SBOM = "sbom"
    ALARMS = "alarms"


def papers(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("papers"),
    permit: Permit = None,
    verdicts: Verdicts = None,
    without: Annotated[list[Kind] | None, typer.Option(help="Leave this one out; may be given again.")] = None,
    where: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write all papers of the model: card, runbook, datasheet, software, alarm trees. All, or none where one fails."""
    from beampermit.documents.bundle import bundle
    from beampermit.files import write_text
    from beampermit.project import Project

    made = bundle(Project.find(where.resolve()), permit, verdicts, without or ())
    for name, text in made.items():
        write_text(out / name, text)
    paths = [str(out / name) for name in made]
    show({"files": paths}, lambda: console().print("\n".join(paths), markup=False, soft_wrap=True), as_json)
