"""`beampermit comment`: the report as a comment on its pull request."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.output import Json, console, show


class Via(StrEnum):
    """What writes the comment."""

    OWN = "own"
    CML = "cml"


def comment(
    folder: Annotated[Path, typer.Option("--report", help="Folder that `beampermit report` wrote.")] = Path("report"),
    run: Annotated[
        int | None,
        typer.Option("--from-run", metavar="RUN", min=1, help="Take the report from this run's artifact instead."),
    ] = None,
    pull: Annotated[
        int | None, typer.Option(min=1, help="Number of the pull request.", show_default="that of the job")
    ] = None,
    via: Annotated[Via, typer.Option(help="Program that writes the comment.")] = Via.OWN,
    title: Annotated[str, typer.Option(help="Title by which CML finds its comment.")] = "beampermit",
    author: Annotated[str, typer.Option(help="Account of the token.")] = "github-actions[bot]",
    as_json: Json = False,
) -> None:
    """Post the report as a comment on its pull request.

    An existing comment is updated.
    """
    from beampermit.commenting import Commenter
    from beampermit.github.client import Client
    from beampermit.interlocks.families import load_interlocks

    client = Client.of_job("no comment can be written")
    expected = {id: cls.title() for id, cls in load_interlocks().items()}
    commenter = Commenter(client, expected, title, author, via_cml=via is Via.CML)
    done = commenter.from_run(run) if run is not None else commenter.from_folder(folder, pull)
    line = f"{done.outcome}: {done.reason or done.address}"
    body = {"outcome": done.outcome, "why": done.reason, "address": done.address}
    show(body, lambda: console().print(line), as_json)
