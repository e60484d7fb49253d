"""`beampermit publish`: the papers of a promoted version, as a release on GitHub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.options import Folder, KeyFile
from beampermit.cli.output import Json, console, show


def publish(
    permit: Annotated[Path, typer.Option(help="The signed permit that was promoted.")] = Path("permit.dsse.json"),
    papers: Annotated[
        Path | None, typer.Option(help="Folder of the papers.", show_default="that of the permit")
    ] = None,
    key: KeyFile = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Publish the papers of a promoted version as a release on GitHub, or complete the one that is there."""
    from beampermit.github.whom import must_find_client
    from beampermit.permit import keys
    from beampermit.permit.envelope import read_envelope
    from beampermit.permit.trusted import public_keys
    from beampermit.project import Project
    from beampermit.publishing import publish_version
    from beampermit.registry.ledger import Ledger

    found = Project.find(project.resolve())
    statement = read_envelope(permit, public_keys(key or found.path(keys.PUBLIC_IN_PROJECT))).statement
    client = must_find_client(found.git)
    done = publish_version(client, Ledger(found.git), statement, papers or permit.parent)
    said = "published" if done.new else "already published"
    line = f"{said}: {done.address}" + (f", sent {', '.join(done.uploaded)}" if done.uploaded else "")
    body = {"address": done.address, "new": done.new, "uploaded": done.uploaded}
    show(body, lambda: console().print(line, markup=False, soft_wrap=True), as_json)
