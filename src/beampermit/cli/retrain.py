"""`beampermit retrain`: training again with the data up to now, and its pull request."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.output import Folder, Json, console, show, shown_progress


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
