"""`beampermit data`: are the data the ones that this commit names, and bring them safely."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.options import Folder
from beampermit.cli.output import Json, console, show
from beampermit.cli.progress import counted

app = typer.Typer(no_args_is_help=True, help="Check data, and pull them safely; in any DVC repository.")
Base = Annotated[str | None, typer.Option(help="Base revision; the pull request's base if not given.")]


@app.command()
def check(project: Folder = Path(), base: Base = None, as_json: Json = False) -> None:
    """Run the interlocks on data. Exit code 1: data are wrong or missing; 4: the remote cannot be reached."""
    from beampermit.documents import verdicts as render
    from beampermit.interlocks import runner
    from beampermit.project import Project
    from beampermit.verdict import Outcome, exit_code

    found = Project.find(project.resolve(), base)
    verdicts = runner.check(found, runner.select(["DAT"]))
    show(
        [verdict.model_dump(mode="json") for verdict in verdicts],
        lambda: console().print(render.table(verdicts)),
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
    """Bring the data: the base branch's remote, manifests judged and bytes verified before anything is checked out."""
    from beampermit.datasets.pull import pull as bring
    from beampermit.datasets.repository import Repository
    from beampermit.project import Project

    found = Repository.of(Project.find(project.resolve(), base))
    with counted() as watch:
        pulled = bring(found, targets or (), lambda done, total: watch("objects", done, total))
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
    """Ask for the data of `dataset.request`: the same bytes as before, or exit code 1 and what changed, in words."""
    from beampermit.datasets.requests.request import request as ask
    from beampermit.environments.environment import environment_of
    from beampermit.project import Project

    found = Project.find(project.resolve())

    def work(arguments: Sequence[str | Path], folder: Path) -> Any:
        return environment_of(found.root).run(arguments, project=folder)

    with counted() as watch:
        delivered = ask(found, work, out=out, accept=accept, watch=watch)

    def text() -> None:
        said = delivered.sidecar
        console().print(f"{delivered.table}: {said['rows']} rows, {delivered.words}", markup=False)

    show(delivered.as_json(), text, as_json)
