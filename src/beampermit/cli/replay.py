"""`beampermit replay`: what operators would have seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.output import Folder, Json, console, show, shown_progress

if TYPE_CHECKING:
    from beampermit.live.replay.results import Summary

REASONS = 10
"""Reasons that are printed."""


def replay(
    recorded: Annotated[
        Path | None,
        typer.Argument(
            metavar="TABLE|FOLDER",
            help="A Parquet table, or the folder of a prediction log.",
            show_default="samples, by --request or --archiver",
        ),
    ] = None,
    request: Annotated[
        bool, typer.Option("--request", help="The samples of the source of dataset.request: recordings, an archiver.")
    ] = False,
    archiver: Annotated[
        str, typer.Option(metavar="URL", help="The samples of the inputs in an EPICS Archiver Appliance.")
    ] = "",
    out: Annotated[Path, typer.Option(help="The table to write, like a prediction log.")] = Path("replayed.parquet"),
    time: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="The table's column of times.",
            show_default="dataset.split.time, or acquired_at",
        ),
    ] = "",
    since: Annotated[
        str | None,
        typer.Option(
            help="Of a log, or of samples: first time, with a zone, or so long ago.",
            show_default="all, or the ranges of dataset.request",
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(help="The same of the end, which is excluded.")] = None,
    version: Annotated[list[int] | None, typer.Option(help="Of a log: only what this version was asked.")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="1 is real time.", show_default="as fast as possible")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show what operators would have seen of recorded inputs.

    The project's saved model answers them, with limits and fallback as in service. A row is made at each time of a
    table, and of samples when the service would have made one; two runs give the same result.
    """
    from beampermit.environments.environment import environment_of
    from beampermit.errors import BadInput
    from beampermit.live.extra import require_live
    from beampermit.live.log.reading import Selection, parse_moment
    from beampermit.live.replay.project import replay_project
    from beampermit.live.replay.samples import Wanted
    from beampermit.project import Project

    require_live("beampermit replay")
    repository = Project.find(project.resolve())
    from_source = request or bool(archiver)
    if (recorded is not None) + request + bool(archiver) != 1:
        raise BadInput("name one: a table, the folder of a log, --request or --archiver URL")
    if from_source and (time or version or bool(since) != bool(until)):
        raise BadInput("samples are chosen by --since and --until, both or none")
    selection = Selection(
        parse_moment(since) if since else None, parse_moment(until) if until else None, tuple(version or ())
    )
    chosen = recorded or Wanted(archiver, selection.since, selection.until)
    environment = environment_of(repository.root, repository.contract.environment.variables)
    with shown_progress() as progress:
        summary = replay_project(repository, environment, chosen, out, time, selection, speed, progress)
    show(_as_json(summary, out), lambda: _print(summary, out), as_json)


def _as_json(summary: Summary, out: Path) -> dict[str, Any]:
    return {
        "out": str(out),
        "cycles": summary.cycles,
        "asked": summary.asked,
        "strange": summary.strange,
        "shown": {severity.name: count for severity, count in sorted(summary.shown.items())},
        "reasons": dict(summary.reasons.most_common()),
    }


def _print(summary: Summary, out: Path) -> None:
    from beampermit.documents.markdown import visible
    from beampermit.errors import counted

    target = console()
    target.print(f"{out}: {counted(summary.cycles, 'cycle')}, {counted(summary.asked, 'row')} asked")
    counts = (f"{count:,} {severity.name}" for severity, count in sorted(summary.shown.items()))
    target.print(f"values shown: {', '.join(counts) or 'none'}")
    if summary.strange:
        target.print(f"{counted(summary.strange, 'row')} of devices that the device table does not have")
    for reason, count in summary.reasons.most_common(REASONS):
        target.print(f"{count:>8,}  {visible(reason)}")
    if len(summary.reasons) > REASONS:
        target.print(f"          and {counted(len(summary.reasons) - REASONS, 'reason')} more, in the table")
