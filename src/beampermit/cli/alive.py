"""`beampermit alive`: whether the monitor lives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.output import Folder, Json, console, show
from beampermit.cli.respond import Repository


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
