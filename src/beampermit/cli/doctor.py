"""`beampermit doctor`: what a set-up lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.output import Folder, Json, console, show, shown_progress

if TYPE_CHECKING:
    from beampermit.doctor.results import Report
    from beampermit.progress import Progress


def doctor(
    repository: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="The repository on GitHub.", show_default="that of origin")
    ] = None,
    organization: Annotated[
        str | None, typer.Option(metavar="NAME", help="Check all projects of an organization, without clones.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask GitHub.")] = False,
    try_writing: Annotated[
        bool, typer.Option("--try-writing", help="Try to write to remote and registry, and leave nothing there.")
    ] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Find what a set-up lacks, and say how to fix each point.

    GITHUB_TOKEN decides what is seen: what is not is unknown, never missing.

    Exit codes: 0 nothing is missing, 1 something is, 2 an option is wrong, 4 something did not answer.
    """
    from beampermit.doctor.shown import as_json as body
    from beampermit.doctor.shown import many_projects, one_project

    with shown_progress(not as_json) as progress:
        report = _report(repository, organization, offline, try_writing, project, progress)
    shown = many_projects if organization else one_project
    show(body(report), lambda: console().print(shown(report, console().width)), as_json)
    raise typer.Exit(report.exit_code)


def _report(
    repository: str | None, organization: str | None, offline: bool, try_writing: bool, folder: Path, progress: Progress
) -> Report:
    from beampermit.errors import BadInput

    if organization is None:
        from beampermit.doctor.examine import examine
        from beampermit.project import Project

        found = Project.find(folder.resolve())
        return examine(found, repository or "", offline=offline, try_writing=try_writing, progress=progress)
    from beampermit.doctor.organization import examine_organization
    from beampermit.github.context import organization_client

    if offline or repository or try_writing:
        raise BadInput("--organization asks GitHub alone", hint="leave out --offline, --repository and --try-writing")
    return examine_organization(organization_client(organization), organization, progress)
