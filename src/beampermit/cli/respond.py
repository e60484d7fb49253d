"""`beampermit respond`: what alarms started, done now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.output import Folder, Json, console, show

if TYPE_CHECKING:
    from beampermit.monitoring.response.journal import Journal
    from beampermit.project import Project

State = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The monitor's own folder.",
        show_default="that of `serve` in the project, with -monitor after its name",
    ),
]
Repository = Annotated[
    str,
    typer.Option(
        metavar="OWNER/NAME", help="Repository on GitHub.", show_default="GITHUB_REPOSITORY, or origin of the project"
    ),
]
Logbook = Annotated[
    str,
    typer.Option(
        metavar="NAME:WHERE",
        envvar="BEAMPERMIT_LOGBOOK",
        show_envvar=False,
        help="Logbook for entries: file:PATH, or one of the laboratory's own.",
        show_default="BEAMPERMIT_LOGBOOK",
    ),
]
SHOWN = 20


def respond(
    log: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Prediction log of `beampermit serve --log`.")
    ] = None,
    state: State = None,
    logbook: Logbook = "",
    repository: Repository = "",
    dvc: Annotated[
        bool, typer.Option("--dvc", help="Also add the candidates to the project's DVC, and push them.")
    ] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Carry out pending responses to alarms, while no monitor runs.

    Issues on GitHub (GITHUB_TOKEN), the webhook (BEAMPERMIT_WEBHOOK), the logbook, candidates and proposals. Prints
    what was done last. Exit code 1: something is still to be done; 3: a monitor runs, and tries again by itself.
    """
    from beampermit.alarm_outlets import responder_of
    from beampermit.in_service import show_in_service
    from beampermit.project import Project

    found = Project.find(project.resolve())
    folder = _state(state, found)
    added: tuple[str, ...] = ()
    with responder_of(
        folder,
        log=log.absolute() if log else None,
        project=found,
        contract=found.contract,
        logbook=logbook,
        repository=repository,
        show_in_service=show_in_service,
    ) as responder:
        responder.hurry()
        responder.work()
        journal = responder.kept.journal
        if dvc:
            from beampermit.monitoring.response.candidate_data import add_candidates

            added = add_candidates(found, folder)
    body = journal.model_dump(mode="json", include={"tasks", "problem", "log", "proposals"})
    show({**body, "added": added}, lambda: _print(journal, added), as_json)
    raise typer.Exit(1 if journal.tasks or journal.problem else 0)


def _state(state: Path | None, found: Project) -> Path:
    from beampermit.live.observation.monitoring import monitor_folder

    return state.absolute() if state else monitor_folder(found.own / "serve")


def _print(journal: Journal, added: tuple[str, ...]) -> None:
    from beampermit.documents.markdown import logged

    out = console()
    for line in journal.log[-SHOWN:]:
        out.print(logged(line))
    for task in journal.tasks:
        out.print(f"still to do: {logged(task.id)}: {logged(task.error or 'not tried yet')}")
    for name in added:
        out.print(f"added to DVC: {name}; next: git add {name}.dvc")
    if journal.problem:
        out.print(f"GitHub was not told: {logged(journal.problem)}")
