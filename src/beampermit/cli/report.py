"""`beampermit report`, `card` and `runbook`: the papers of a pull request and of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.output import Json, console, show

Where = Annotated[Path, typer.Option("--project", help="The project's folder.", show_default="this folder")]


def report(
    verdicts: Annotated[Path, typer.Option(help="Folder of the files that `check --out` wrote.")] = Path("verdicts"),
    out: Annotated[Path, typer.Option(help="Folder for report.md and report.html.")] = Path("report"),
    base: Annotated[
        str | None, typer.Option(help="Revision to compare with; the pull request's base if not given.")
    ] = None,
    where: Where = Path(),
    as_json: Json = False,
) -> None:
    """Write the report of a pull request: verdicts first, then what it changes."""
    from beampermit.documents.report import report as gather
    from beampermit.files import write_text
    from beampermit.interlocks import runner
    from beampermit.project import Project

    found = gather(
        Project.find(where.resolve(), base), verdicts, {id: cls.title() for id, cls in runner.load().items()}
    )
    files = {"report.md": found.markdown(), "report.html": found.html()}
    for name, text in files.items():
        write_text(out / name, text)
    if found.problems:
        raise found.problems[0]  # the report is written and shows it
    paths = [str(out / name) for name in files]
    show(
        {**found.summary(), "files": paths},
        lambda: console().print(f"{found.judged.headline}\n{' '.join(paths)}", markup=False),
        as_json,
    )
