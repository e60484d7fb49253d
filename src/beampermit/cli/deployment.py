"""`beampermit deployment`: the files with which a laboratory runs the service."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from beampermit.cli.output import Folder, Json, console, show
from beampermit.errors import Failed


def deployment(
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder in the project.",
            show_default="serving.deployment of the contract, or deploy",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where the files say something else than the contract.")
    ] = False,
    anew: Annotated[
        bool, typer.Option("--anew", help="Write all files, also those that agree: your changes of them are lost.")
    ] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the files with which the service is run.

    A systemd unit, procServ, Kubernetes, access security, a screen and alarms for Phoebus, an archiver list. Files that
    say what the contract says are kept as they are.
    """
    from beampermit.deployment import files
    from beampermit.deployment.deployment import FOLDER, deployment_of
    from beampermit.deployment.image import KUSTOMIZATION, Found, recorded_image, set_image
    from beampermit.project import Project

    repository = Project.find(project.resolve())
    named = repository.contract.serving.deployment
    folder = out or named or FOLDER
    decided = deployment_of(repository)
    if check:
        found = [problem for wrong in files.problems(repository, folder, decided).values() for problem in wrong]
        if found:
            first, *others = found
            raise Failed(
                first.message,
                file=first.file,
                line=first.line,
                hint="the same command without --check writes them",
                also=others,
            )
    written = {} if check else files.write(repository, folder, decided, anew=anew)
    recorded = Found() if check else recorded_image(repository)
    event, note = recorded.event, recorded.note
    if event and event.image and not set_image(repository, folder, decided.dns_name, event.image):
        note = f"{folder}/{KUSTOMIZATION} names its image in a way of its own: by the ledger it is {event.image}"
        event = None
    places = {str(PurePosixPath(folder, name)): new for name, new in written.items()}

    def text() -> None:
        if check:
            console().print(f"{folder}/ says what the contract says")
        for path, new in places.items():
            console().print(path if new else f"{path} (kept: it says what the contract says)")
        if event:
            console().print(f"image of version {event.version}, by the ledger: {event.image}")
        if note:
            console().print(f"note: {note}")
        if named is None and not check:
            console().print(f"To have OPS002 compare them, write into contract.yaml: serving: {{deployment: {folder}}}")

    body = {"folder": folder, "written": [path for path, new in places.items() if new]}
    show(body | {"image": event.image if event else None, "note": note}, text, as_json)
