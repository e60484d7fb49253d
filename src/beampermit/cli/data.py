"""`beampermit data`: are the data the ones that this commit names, and bring them safely."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Folder, Json, console, print_table, print_verdicts, show, shown_progress

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Check, fetch, label and compare data.")
Base = Annotated[str | None, typer.Option(help="Base revision; the pull request's base if not given.")]


@app.command()
def check(project: Folder = Path(), base: Base = None, as_json: Json = False) -> None:
    """Run the interlocks on data.

    Exit code 1: data are wrong or missing; 4: the remote cannot be reached.
    """
    from beampermit.interlocks import runner
    from beampermit.interlocks.families import select_interlocks
    from beampermit.project import Project
    from beampermit.verdicts.verdict import Outcome, exit_code

    found = Project.find(project.resolve(), base)
    verdicts = runner.check(found, select_interlocks(["DAT"]))
    show(
        [verdict.model_dump(mode="json") for verdict in verdicts],
        lambda: print_verdicts(verdicts, everything=True),
        as_json,
    )
    judged = [verdict for verdict in verdicts if found.has_contract or verdict.outcome is not Outcome.SKIPPED]
    raise typer.Exit(exit_code(judged))


@app.command()
def pull(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH|STAGE ...]", help="Data to bring; all if none is named.")
    ] = None,
    project: Folder = Path(),
    base: Base = None,
    as_json: Json = False,
) -> None:
    """Fetch the data from the base branch's remote, verified.

    Manifests are checked and bytes hashed before anything is checked out.
    """
    from beampermit.datasets.pull import pull as bring
    from beampermit.datasets.repository import Repository
    from beampermit.project import Project

    found = Repository.of(Project.find(project.resolve(), base))
    with shown_progress() as progress:
        pulled = bring(found, targets or (), progress)
    body = {"fetched": pulled.fetched, "present": pulled.present, "changed": list(pulled.changed)}

    def text() -> None:
        changed = f"checked out {', '.join(pulled.changed)}" if pulled.changed else "the work tree had them already"
        console().print(f"{pulled.fetched} objects fetched, {pulled.present} were here; {changed}", markup=False)

    show(body, text, as_json)


@app.command()
def request(
    project: Folder = Path(),
    out: Annotated[
        str | None, typer.Option(help="Table to write, in the project.", show_default="dataset.raw of the contract")
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Take an answer that is not the one that is here.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch the data that `dataset.request` asks for.

    Exit code 1: the bytes are not the same as before; what changed is printed.
    """
    from beampermit.datasets.requests.request import request as ask
    from beampermit.environments.environment import environment_of
    from beampermit.project import Project

    found = Project.find(project.resolve())

    def work(arguments: Sequence[str | Path], folder: Path) -> Any:
        return environment_of(found.root).run(arguments, project=folder)

    with shown_progress() as progress:
        delivered = ask(found, work, out=out, accept=accept, progress=progress)

    def text() -> None:
        said = delivered.sidecar
        console().print(f"{delivered.table}: {said['rows']} rows, {delivered.summary}", markup=False)

    show(delivered.as_json(), text, as_json)


@app.command()
def card(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("DATASHEET.md"),
    html: Annotated[bool, typer.Option("--html", help="Write one HTML page as well, beside it.")] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the datasheet of the dataset.

    Counts, times and gaps, labels, ranges, lineage and limits.
    """
    from beampermit.documents.datasheet import datasheet
    from beampermit.files import write_text
    from beampermit.project import Project

    sheet = datasheet(Project.find(project.resolve()))
    files = {out: sheet.markdown()} | ({out.with_suffix(".html"): sheet.html()} if html else {})
    for path, content in files.items():
        write_text(path, content)
    paths = [str(path) for path in files]
    show({**sheet.as_json(), "files": paths}, lambda: console().print(*paths, markup=False), as_json)


@app.command()
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
    """Compare two versions of the dataset.

    Rows, labels, times and signals, with small histograms.
    """
    from beampermit.datasets.differences import compare_versions, load_version
    from beampermit.errors import BadInput
    from beampermit.project import Project

    try:
        found = Project.find(project.resolve())
    except BadInput:
        found = None  # files can be compared anywhere
    one, other = load_version(found, before), load_version(found, after)
    changes = compare_versions(one, other)

    def text() -> None:
        if markdown:
            from beampermit.documents.datasheet import format_differences

            typer.echo(format_differences(changes, one.name, other.name), nl=False)
        else:
            _table(changes, one.name, other.name)

    body = {"before": one.name, "after": other.name, "splits": [change.as_json() for change in changes]}
    show(body, text, as_json)


def _table(changes: Any, before: str, after: str) -> None:
    from rich.table import Table
    from rich.text import Text

    from beampermit.changes.data import summarize_difference

    screen = console()
    screen.print(f"{before} → {after}", markup=False)
    for change in changes:
        screen.print(f"\n{change.split}: {'the same' if change.same else ''}", markup=False)
        for word in change.changes:
            screen.print(f"  {word}", markup=False)
        histograms = summarize_difference(change).histograms
        if histograms:
            table = Table(box=None, padding=(0, 2))
            for title in ("", before, after):
                table.add_column(Text(title))
            for name, both in histograms.items():
                table.add_row(Text(name), *(Text(bars) for bars in both))
            print_table(table)


SHOWN = 20


@app.command()
def staged(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE ...]", help="Files to look at; all that are staged if none.")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Find data and models among the staged files.

    By name, first bytes and size. Exit code 1: unstage them.
    """
    from beampermit.datasets import strays as judge
    from beampermit.documents.markdown import visible
    from beampermit.git import Git, find_root

    found = list(judge.staged_strays(Git(find_root(project.resolve())), [str(Path(file).absolute()) for file in files or ()]))

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


@app.command()
def labels(project: Folder = Path(), as_json: Json = False) -> None:
    """Show who labelled what, and where people disagree.

    Also how much of the data is labelled, and which labels people overruled.
    """
    from beampermit.datasets.labels.review import review_project
    from beampermit.project import Project

    found = review_project(Project.find(project.resolve()))
    show(found.as_json(), lambda: _tables(found), as_json)
    raise typer.Exit(1 if found.problems else 0)


@app.command()
def label(
    who: Annotated[str | None, typer.Option("--as", help="Your name; git's user.name if not given.")] = None,
    table: Annotated[
        str | None, typer.Option(help="What to look at: raw, or a split of the contract.", show_default="raw")
    ] = None,
    batch: Annotated[int, typer.Option(help="Which 50,000 rows, the least certain labels first.", min=1)] = 1,
    port: Annotated[int, typer.Option(help="A free one if 0.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Label signals in a page on this machine.

    The keyboard does it all; Ctrl-C stops the server.
    """
    import sys
    import webbrowser

    from beampermit.datasets.labels.page import Server
    from beampermit.datasets.labels.queue import Queue
    from beampermit.project import Project

    found = Project.find(project.resolve())
    with Server(Queue.of(found, table or "raw", who, batch), port) as server:

        def text() -> None:
            kept = f"What you say is kept at once in {server.queue.file}. Stop with Ctrl-C."
            console().print(f"{server.url}\n{kept}", markup=False)
            if server.queue.batch_note:
                console().print(f"Not all rows: {server.queue.batch_note}.", markup=False)

        show({"url": server.url, "file": server.queue.file, "batch": server.queue.batch_note}, text, as_json)
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
    print_table(table)
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
