"""`beampermit image`: which image of containers holds which promoted version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Folder, Json, console, show

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Record which container image holds which version.")


@app.command()
def record(
    image: Annotated[str, typer.Argument(help="Such as ghcr.io/lab/bpm-faults@sha256:..., or with a tag.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Version that it must hold.", show_default="that of the image's commit")
    ] = None,
    with_sbom: Annotated[
        bool, typer.Option("--with-sbom", help="Fail where a platform has no bill of materials beside it.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")] = "",
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Record which image was built of a version, in the ledger.

    Its registry is asked for the image, and the digest is computed here. BEAMPERMIT_SIGNING_KEY signs it;
    IMAGE_USERNAME and IMAGE_PASSWORD are the account of the registry, if it asks for one.
    """
    from beampermit.containers.client import LOGIN, ImageRegistry, Login
    from beampermit.containers.image import read_image
    from beampermit.containers.reference import parse_reference
    from beampermit.permit import keys
    from beampermit.project import Project
    from beampermit.registry.images import record_image
    from beampermit.registry.ledger import Ledger

    repository = Project.find(project.resolve())
    key = keys.load_signing_key(os.environ.get(keys.VARIABLE))
    login = Login(*(os.environ.get(name, "") for name in LOGIN))
    found = read_image(ImageRegistry(parse_reference(image), login))
    if with_sbom:
        found.require_sboms()
    git, model = repository.git, repository.contract.model.name
    done = record_image(git, Ledger(git), key, found, model, version=version, reason=reason)

    def text() -> None:
        verb, platforms = "recorded" if done.new else "already recorded", ", ".join(found.platforms)
        console().print(
            f"{verb}: {done.event.image} holds version {done.event.version} of {model}, commit "
            f"{found.commit[:12]}, for {platforms}; bill of materials: {', '.join(found.sboms) or 'none'}"
        )

    body = {
        "new": done.new,
        "event": done.event.content,
        "platforms": found.platforms,
        "sboms": found.sboms,
    }
    show(body, text, as_json)


@app.command(name="show")
def show_image(
    version: Annotated[
        int | None, typer.Option(min=1, help="Version that it holds.", show_default="the champion")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Print the image of a version, by its digest.

    What the ledger says of it is verified. Exit code 1 where none was recorded.
    """
    from beampermit.errors import Failed
    from beampermit.project import Project
    from beampermit.registry.images import find_image
    from beampermit.registry.ledger import Ledger

    repository = Project.find(project.resolve())
    ledger, model = Ledger(repository.git), repository.contract.model.name
    ledger.fetch()
    event = find_image(ledger, model, version)
    if event is None:
        of = f"version {version}" if version else "the champion"
        raise Failed(f"no image of {of} of {model} was recorded", hint="beampermit image record IMAGE")
    show(event.content, lambda: console().print(event.image), as_json)
