"""`beampermit data card` and `data diff`: what a dataset holds, and what changed between two versions of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.options import Folder
from beampermit.cli.output import Json, console, show


def card(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("DATASHEET.md"),
    html: Annotated[bool, typer.Option("--html", help="Write one HTML page as well, beside it.")] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the datasheet: counts, times and gaps, labels, ranges, lineage, limits."""
    from beampermit.documents.datasheet import datasheet
    from beampermit.files import write_text
    from beampermit.project import Project

    sheet = datasheet(Project.find(project.resolve()))
    files = {out: sheet.markdown()} | ({out.with_suffix(".html"): sheet.html()} if html else {})
    for path, content in files.items():
        write_text(path, content)
    paths = [str(path) for path in files]
    show({**sheet.as_json(), "files": paths}, lambda: console().print(*paths, markup=False), as_json)


def diff(
    before: Annotated[
        str,
        typer.Argument(metavar="A", help="A git revision, a Parquet file, or a folder of them; `.` is the work tree."),
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")] = ".",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, as in a report.")] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Compare two versions of the dataset: rows, labels, times and signals, in words, numbers and small histograms."""
    from beampermit.datasets.differences import differences
    from beampermit.datasets.versions import version
    from beampermit.documents import data_changes
    from beampermit.errors import BadInput
    from beampermit.project import Project

    try:
        found = Project.find(project.resolve())
    except BadInput:
        found = None  # files can be compared anywhere
    one, other = version(found, before), version(found, after)
    changes = differences(one, other)

    def text() -> None:
        if markdown:
            typer.echo(data_changes.markdown(changes, one.name, other.name), nl=False)
        else:
            _table(changes, one.name, other.name)

    body = {"before": one.name, "after": other.name, "splits": [change.as_json() for change in changes]}
    show(body, text, as_json)


def _table(changes: Any, before: str, after: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from beampermit.documents.data_changes import Told

    screen = console()
    screen.print(f"{before} → {after}", markup=False)
    for change in changes:
        screen.print(f"\n{change.split}: {'the same' if change.same else ''}", markup=False)
        for word in change.words:
            screen.print(f"  {word}", markup=False)
        told = Told.of(change)
        if told.histograms:
            table = Table(box=None, padding=(0, 2))
            for title in ("", before, after):
                table.add_column(Text(title))
            for name, both in told.histograms.items():
                table.add_row(Text(name), *(Text(bars) for bars in both))
            screen.print(table)
