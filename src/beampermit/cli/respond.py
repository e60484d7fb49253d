"""`beampermit respond`, `alive`, `retrain`: what alarms started, whether the monitor lives, and training again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.output import Folder, Json, console, show, shown_progress

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
    """Do now what alarms still wait for, while no monitor runs.

    Issues on GitHub (GITHUB_TOKEN), the webhook (BEAMPERMIT_WEBHOOK), the logbook, candidates and proposals. Prints
    what was done last. Exit code 1: something is still to be done; 3: a monitor runs, and tries again by itself.
    """
    from beampermit.project import Project
    from beampermit.responding import responder_of

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


def alive(
    state: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Look here, on the monitor's machine.", show_default="look on GitHub"),
    ] = None,
    required: Annotated[
        bool, typer.Option("--required", help="Fail also where no monitor has ever reported to GitHub.")
    ] = False,
    repository: Repository = "",
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Fail if the monitor is silent: a dead man's switch.

    On GitHub it looks at the issue in which the monitor reports; the first report arms it. The limit is
    `monitoring.response.silent_after` of the contract. Exit code 1: the monitor is silent; 4: GitHub cannot be asked.
    """
    import time

    from beampermit.github.context import require_client
    from beampermit.monitoring.response.heartbeat import look_here, look_on_github
    from beampermit.monitoring.response.issues import Issues
    from beampermit.project import Project

    found = Project.find(project.resolve())
    model, limit, now = found.contract.model.name, found.contract.monitoring.response.silent_after, time.time()
    if state:
        seen = look_here(state, limit, now)
    else:
        issues = Issues(require_client(found.git, repository))
        seen = look_on_github(issues, model, limit, now, required=required)
    if seen is None:
        line = f"no monitor of {model} has ever reported: nothing is watched, and nothing can be silent"
        show({"age": None, "alarms": None, "version": None}, lambda: console().print(line), as_json)
        return
    line = f"the monitor of {model} judged a window {seen.age / 60:.0f} min ago: version {seen.version}, "
    line += f"{seen.alarms} alarms ({seen.where})"
    show({"age": seen.age, "alarms": seen.alarms, "version": seen.version}, lambda: console().print(line), as_json)


def retrain(
    out: Annotated[Path, typer.Option(help="Folder for the bundle with the new commit.")] = Path("retrained"),
    propose: Annotated[
        bool, typer.Option("--propose", help="Push the commit in that folder and open its pull request; nothing runs.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, for the pull request.")] = "",
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Train again with the data up to now.

    The end of the newest range of `dataset.request` becomes now, all stages run, and the data are pushed: what is new
    is one commit in a bundle. With --propose, in a job, it becomes a pull request that the interlocks judge
    (GITHUB_REPOSITORY, GITHUB_TOKEN). Exit code 1: a stage fails.
    """
    from datetime import UTC, datetime

    from beampermit.environments.environment import environment_of
    from beampermit.github.client import Client
    from beampermit.project import Project
    from beampermit.retraining import BUNDLE
    from beampermit.retraining import propose as open_pull_request
    from beampermit.retraining import retrain as run

    found = Project.find(project.resolve())
    if propose and not (out / BUNDLE).exists() and out.is_dir():
        show({"pull_request": None}, lambda: console().print("nothing changed: there is nothing to propose"), as_json)
        return
    if propose:
        address = open_pull_request(found, Client.of_job("no pull request can be opened"), out / BUNDLE, reason)
        show({"pull_request": address}, lambda: console().print(address), as_json)
        return
    environment = environment_of(found.root, found.contract.environment.variables)
    with shown_progress() as progress:
        done = run(found, environment, out, datetime.now(UTC), progress)
    line = f"{done.bundle}: commit {done.commit[:12]}" if done.commit else "neither data nor results changed"
    show({"commit": done.commit, "until": done.until}, lambda: console().print(line), as_json)


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
