"""`beampermit data`: check, fetch, request, compare and label data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Folder, Json, console, print_verdicts, show, shown_progress
from beampermit.errors import counted

if TYPE_CHECKING:
    from beampermit.datasets.differences import SplitDifference
    from beampermit.datasets.labels.review import LabelReview

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Check, fetch, label and compare data.")
Base = Annotated[str | None, typer.Option(help="Base revision.", show_default="the pull request's base")]
SHOWN = 20
"""Items of a list that are printed; `--json` has all."""


@app.command()
def check(project: Folder = Path(), base: Base = None, as_json: Json = False) -> None:
    """Run the interlocks on data.

    Exit code 1: data are wrong or missing; 4: the remote is unavailable.
    """
    from beampermit.interlocks import runner
    from beampermit.interlocks.families import select_interlocks
    from beampermit.project import Project
    from beampermit.verdicts.verdict import Outcome, exit_code

    repository = Project.find(project.resolve(), base)
    verdicts = runner.check(repository, select_interlocks(["DAT"]))
    show(
        [verdict.model_dump(mode="json") for verdict in verdicts],
        lambda: print_verdicts(verdicts, everything=True),
        as_json,
    )
    judged = [verdict for verdict in verdicts if repository.has_contract or verdict.outcome is not Outcome.SKIPPED]
    raise typer.Exit(exit_code(judged))


@app.command()
def pull(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH|STAGE ...]", help="Data to fetch; all if none is named.")
    ] = None,
    project: Folder = Path(),
    base: Base = None,
    as_json: Json = False,
) -> None:
    """Fetch the data from the base branch's remote, verified.

    Manifests and bytes are verified before anything is checked out.
    """
    from beampermit.datasets.pull import pull as pull_data
    from beampermit.datasets.repository import Repository
    from beampermit.project import Project

    repository = Repository.of(Project.find(project.resolve(), base))
    with shown_progress() as progress:
        pulled = pull_data(repository, targets or (), progress)
    body = {"fetched": pulled.fetched, "present": pulled.present, "changed": list(pulled.changed)}

    def text() -> None:
        changed = f"checked out {', '.join(pulled.changed)}" if pulled.changed else "the work tree is up to date"
        console().print(f"{counted(pulled.fetched, 'object')} fetched, {pulled.present} in the cache; {changed}")

    show(body, text, as_json)


@app.command()
def request(
    project: Folder = Path(),
    out: Annotated[
        str | None, typer.Option(help="Table to write, in the project.", show_default="dataset.raw of the contract")
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Replace the table although its rows differ.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch the data that `dataset.request` asks for.

    Exit code 1: the rows differ from the table in the project; the changes are printed.
    """
    from beampermit.datasets.requests.request import request as request_data
    from beampermit.environments.environment import environment_of
    from beampermit.project import Project

    repository = Project.find(project.resolve())

    def run_in_environment(arguments: Sequence[str | Path], folder: Path) -> Any:
        environment = environment_of(repository.root, repository.base_contract.environment.variables)
        return environment.run(arguments, project=folder)

    with shown_progress() as progress:
        result = request_data(repository, run_in_environment, out=out, accept=accept, progress=progress)
    line = f"{result.table}: {counted(result.sidecar['rows'], 'row')}, {result.summary}"
    show(result.as_json(), lambda: console().print(line), as_json)


@app.command()
def card(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("DATASHEET.md"),
    html: Annotated[bool, typer.Option("--html", help="Also write one HTML page beside it.")] = False,
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
    show({**sheet.as_json(), "files": paths}, lambda: console().print(*paths), as_json)


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

    Rows, labels, times and signals, with a small histogram of each signal.
    """
    from beampermit.datasets.differences import compare_versions, load_version
    from beampermit.errors import BadInput
    from beampermit.project import Project

    try:
        repository = Project.find(project.resolve())
    except BadInput:
        repository = None  # files can be compared anywhere
    old, new = load_version(repository, before), load_version(repository, after)
    changes = compare_versions(old, new)

    def text() -> None:
        if markdown:
            from beampermit.documents.datasheet import format_differences

            typer.echo(format_differences(changes, old.name, new.name), nl=False)
        else:
            _print_differences(changes, old.name, new.name)

    body = {"before": old.name, "after": new.name, "splits": [change.as_json() for change in changes]}
    show(body, text, as_json)


def _print_differences(differences: Sequence[SplitDifference], before: str, after: str) -> None:
    from beampermit.changes.data import summarize_difference
    from beampermit.documents.screen import format_columns

    out = console()
    out.print(f"before: {before}\nafter:  {after}")
    for difference in differences:
        out.print(f"\n{difference.split}: {'the same' if difference.same else ''}".rstrip(), style="bold")
        for change in difference.changes:
            out.print(f"  {change}")
        histograms = summarize_difference(difference).histograms
        if histograms:
            out.print()
            out.print(
                format_columns(
                    ("  signal", "before", "after"), [(f"  {name}", *bars) for name, bars in histograms.items()]
                )
            )


@app.command()
def staged(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE ...]", help="Files to check; all that are staged if none.")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Find data and models among the staged files.

    By name, first bytes and size; and notebooks with outputs, where the contract refuses them. Each file is judged by
    the contract nearest above it. Exit code 1: there are some.
    """
    from beampermit.datasets.strays import by_project, kept_in_git, staged_notebooks, staged_strays
    from beampermit.documents.markdown import visible
    from beampermit.git import Git, find_top
    from beampermit.project import Project

    git, repository = Git(find_top(project.resolve())), Project.find(project.resolve())
    named = [str(Path(file).absolute()) for file in files or ()]
    strays = list(staged_strays(git, named))
    for one, owned in by_project(repository, (stray.path for stray in strays)):
        kept = kept_in_git(one).intersection(owned)
        strays = [stray for stray in strays if stray.path not in kept]
    notebooks: dict[str, str] = {}
    if paths := staged_notebooks(git, named):
        from beampermit.interlocks.notebooks import staged_outputs

        for one, owned in by_project(repository, paths):
            notebooks |= staged_outputs(one, owned)

    def text() -> None:
        for stray in strays[:SHOWN]:
            console().print(f"{visible(stray.path)}: {stray.what}")
        if len(strays) > SHOWN:
            console().print(f"and {len(strays) - SHOWN} more")
        if strays:
            console().print(
                "Data and models belong in DVC, not in git. For each:\n  git rm --cached FILE\n  dvc add FILE"
            )
        for path, what in notebooks.items():
            console().print(f"{visible(path)} {visible(what)}")
        if notebooks:
            console().print(
                "The contract refuses outputs of notebooks (notebooks.outputs). For each:\n"
                "  jupyter nbconvert --clear-output --inplace FILE\n  git add FILE"
            )

    found = {**{stray.path: stray.what for stray in strays}, **notebooks}
    show([{"file": path, "what": what} for path, what in found.items()], text, as_json)
    raise typer.Exit(1 if found else 0)


@app.command()
def labels(project: Folder = Path(), as_json: Json = False) -> None:
    """Show who labelled what, and where people disagree.

    Also how much of the data is labelled, and which labels people overruled.
    """
    from beampermit.datasets.labels.review import review_project
    from beampermit.project import Project

    review = review_project(Project.find(project.resolve()))
    show(review.as_json(), lambda: _print_review(review), as_json)
    raise typer.Exit(1 if review.problems else 0)


def _print_review(review: LabelReview) -> None:
    from beampermit.documents.screen import format_columns

    out = console()
    rows = [
        (table, f"{coverage.rows:,}", f"{coverage.labelled:,}", f"{coverage.different:,}" if coverage.different else "")
        for table, coverage in review.coverage.items()
    ]
    out.print(format_columns(("", "rows", "labelled", "target differs from label"), rows))
    for title, counts in (("value", review.values), ("person", review.people), ("source", review.sources)):
        if counts:
            out.print(f"by {title}: {', '.join(f'{name} {count:,}' for name, count in list(counts.items())[:SHOWN])}")
    if review.confidence:
        lowest, mean = review.confidence
        out.print(f"confidence: lowest {lowest:.3g}, mean {mean:.3g}")
    for row in review.overruled[:SHOWN]:
        out.print(f"overruled: {' '.join(row['row'])}: {row['value']} by {row['by']}, {row['before']} by rule")
    for conflict in review.conflicts[:SHOWN]:
        values = ", ".join(f"{annotation.value} by {annotation.by}" for annotation in conflict)
        out.print(f"conflict: {' '.join(conflict[0].key)}: {values}; the first is the latest and counts")
    for problem in review.problems:
        out.print(f"problem: {problem}")


@app.command()
def label(
    who: Annotated[str | None, typer.Option("--as", help="Your name.", show_default="git's user.name")] = None,
    table: Annotated[str, typer.Option(help="Rows to label: raw, or a split of the contract.")] = "raw",
    batch: Annotated[int, typer.Option(help="Which 50,000 rows, the least certain labels first.", min=1)] = 1,
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Label signals in a page on this machine.

    Every action has a key; Ctrl-C stops the server.
    """
    import sys
    import webbrowser

    from beampermit.datasets.labels.page import Server
    from beampermit.datasets.labels.queue import Queue
    from beampermit.project import Project

    with Server(Queue.of(Project.find(project.resolve()), table, who, batch), port) as server:

        def text() -> None:
            console().print(f"{server.url}\nEach label is saved at once in {server.queue.file}. Ctrl-C stops.")
            if server.queue.batch_note:
                console().print(f"Not all rows: {server.queue.batch_note}.")

        show({"url": server.url, "file": server.queue.file, "batch": server.queue.batch_note}, text, as_json)
        sys.stdout.flush()  # the page is served until somebody stops it
        if browser:
            webbrowser.open(server.url)
        server.serve()
