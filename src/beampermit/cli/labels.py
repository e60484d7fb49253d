"""`beampermit data label` and `data labels`: people's words on single rows, and what stands of all labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.options import Folder
from beampermit.cli.output import Json, console, show


def labels(project: Folder = Path(), as_json: Json = False) -> None:
    """Say who labelled what, how much of the data is covered, what people overruled, and where they disagree."""
    from beampermit.datasets.labels.standing import standing
    from beampermit.project import Project

    found = standing(Project.find(project.resolve()))
    show(found.as_json(), lambda: _tables(found), as_json)
    raise typer.Exit(1 if found.problems else 0)


def label(
    who: Annotated[str | None, typer.Option("--as", help="Your name; git's user.name if not given.")] = None,
    table: Annotated[
        str | None, typer.Option(help="What to look at: raw, or a split of the contract.", show_default="raw")
    ] = None,
    sitting: Annotated[int, typer.Option(help="Which 50,000 rows, those least sure first.", min=1)] = 1,
    port: Annotated[int, typer.Option(help="A free one if 0.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Open a page on this machine to look at signals and label them with the keyboard; stop it with Ctrl-C."""
    import sys
    import webbrowser

    from beampermit.datasets.labels.page import Server
    from beampermit.datasets.labels.queue import Queue
    from beampermit.project import Project

    found = Project.find(project.resolve())
    with Server(Queue.of(found, table or "raw", who, sitting), port) as server:

        def text() -> None:
            kept = f"What you say is kept at once in {server.queue.file}. Stop with Ctrl-C."
            console().print(f"{server.url}\n{kept}", markup=False)
            if server.queue.words:
                console().print(f"Not all rows: {server.queue.words}.", markup=False)

        show({"url": server.url, "file": server.queue.file, "sitting": server.queue.words}, text, as_json)
        sys.stdout.flush()  # the page is served until somebody stops it
        if browser:
            webbrowser.open(server.url)
        server.serve()


def _tables(found: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    screen = console()
    table = Table("", "rows", "labelled", "otherwise", box=None, padding=(0, 2))
    for name, one in found.coverage.items():
        table.add_row(Text(name), f"{one.rows:,}", f"{one.labelled:,}", f"{one.different:,}" if one.different else "")
    screen.print(table)
    for title, counts in (("by value", found.values), ("by whom", found.people), ("by source", found.sources)):
        told = ", ".join(f"{value} {count:,}" for value, count in list(counts.items())[:20])
        if told:
            screen.print(f"{title}: {told}", markup=False)
    if found.confidence:
        screen.print(f"confidence: {found.confidence[0]:.3g} at least, {found.confidence[1]:.3g} in the mean")
    for row in found.overruled[:20]:
        screen.print(
            f"overruled: {' '.join(row['row'])}: {row['value']} by {row['by']}, the rules said {row['before']}",
            markup=False,
        )
    for said in found.conflicts[:20]:
        words = ", ".join(f"{one.by} says {one.value}" for one in said)
        screen.print(f"conflict: {' '.join(said[0].key)}: {words}; the first counts, it is the latest", markup=False)
    for problem in found.problems:
        screen.print(f"problem: {problem}", markup=False)
