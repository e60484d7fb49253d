"""`beampermit serve`: the champion's outputs as PVs."""

from __future__ import annotations

import gc
import logging
import sys
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.output import Folder

if TYPE_CHECKING:
    from beampermit.live.process.ahead import Ahead
    from beampermit.live.promoted.wanted import Wanted

logger = logging.getLogger("beampermit.serve")


class Shadow(StrEnum):
    """What may run beside the champion."""

    CHALLENGER = "challenger"


class LogFormat(StrEnum):
    """How the service's own log is written."""

    TEXT = "text"
    JSON = "json"


def serve(
    model: Annotated[
        str, typer.Option(metavar="NAME", help="The model, by its name.", show_default="that of the project")
    ] = "",
    ledger: Annotated[
        str,
        typer.Option(
            metavar="REPOSITORY",
            help="Git repository of the ledger; needed with --model, and only there.",
            show_default="origin of the project",
        ),
    ] = "",
    registry: Annotated[
        str, typer.Option(metavar="URI", help="MLflow registry.", show_default="MLFLOW_TRACKING_URI")
    ] = "",
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The service's own folder; one service for each.",
            show_default=".beampermit/serve of the project; with --model, NAME in the user's state folder",
        ),
    ] = None,
    inputs: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Source of the inputs: epics, or an entry point in the group beampermit.inputs.",
        ),
    ] = "epics",
    log: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the prediction log here.", show_default="no log")
    ] = None,
    log_disk: Annotated[
        str, typer.Option(metavar="SIZE", help="What the prediction log may take; the oldest files go.")
    ] = "10GB",
    http: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Questions, health and metrics.", show_default="no HTTP")
    ] = "",
    observe: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Health and metrics alone, for others to see.", show_default="no HTTP"),
    ] = "",
    access: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Access security file: who may write alarm limits and RESTART.",
            show_default="nobody",
        ),
    ] = None,
    follow: Annotated[str, typer.Option(metavar="DURATION", help="How often the ledger is read.")] = "15s",
    shadow: Annotated[
        Shadow | None,
        typer.Option(help="Run the version with alias challenger beside the champion; its answers are in the log."),
    ] = None,
    monitor: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="State folder of `beampermit monitor`, whose results are shown.",
            show_default="the service's own with -monitor after its name",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|FILE.tar",
            help="Packages for the environment, made by `env bundle`.",
            show_default="the index",
        ),
    ] = None,
    variant: Annotated[
        str, typer.Option(metavar="NAME", help="Variant of the lock.", show_default="that of this machine")
    ] = "",
    log_format: Annotated[
        LogFormat | None,
        typer.Option(help="Format of the service's own log.", show_default="text on a terminal, else json"),
    ] = None,
    project: Folder = Path(),
) -> None:
    """Serve the champion's outputs as PVs, with its permit verified.

    A new champion takes over between two cycles. What is not the model's answer to good inputs says so, and why.

    Exit codes: 0 it was told to end, 1 its inference loop has ended by itself, 2 an option or the access security file
    is wrong, or another service has the state folder, 3 somebody serves one of the PVs, 4 an address cannot be listened
    at, or EPICS does not start.
    """
    from beampermit.registry.asking import registry_process

    usual = _usual_state(model, state, project)
    # Before the imports, which take a second. The first start has to ask the registry.
    with registry_process(wanted=not any(usual.glob("models/*"))) as begun, _ahead(usual, model, project) as ahead:
        from beampermit.live.observation.journal import start_journal
        from beampermit.live.serve import Options
        from beampermit.live.serve import serve as run

        start_journal(log_format.value if log_format else None)
        gc.freeze()  # what is imported stays, and no cycle of the loop may wait for a long look at the rest
        gc.set_threshold(700, 10, 10)
        options = Options(
            wanted=wanted_of(
                model, ledger, project, state, registry=registry, bundle=bundle, variant=variant, begun=begun
            ),
            inputs=inputs,
            follow=seconds_of(follow, "--follow"),
            log=log.absolute() if log else None,
            log_disk=_bytes(log_disk),
            http=http,
            observe=observe,
            access=access,
            challenger=shadow is not None,
            ahead=ahead,
            monitor=monitor.absolute() if monitor else None,
        )
        run(options, lambda line, *_: logger.info("%s", line))
    _leave()


def _ahead(state: Path, model: str, project: Path) -> AbstractContextManager[Ahead]:
    from beampermit.live.process.ahead import started_ahead

    return started_ahead(state, None if model else project.resolve())


def _usual_state(model: str, state: Path | None, project: Path) -> Path:
    """The state folder, where `serve` is called in the project's own: `wanted_of` knows it after many an import."""
    if state or not model:
        return (state or project / ".beampermit/serve").absolute()
    return _state_of(model)


def _state_of(model: str) -> Path:
    from platformdirs import user_state_path

    return user_state_path("beampermit", appauthor=False) / model


def wanted_of(model: str, ledger: str, project: Path, state: Path | None, **others: Any) -> Wanted:
    from beampermit.errors import BadInput
    from beampermit.live.promoted.wanted import Repository, Wanted

    if bool(model) != bool(ledger):
        raise BadInput(
            "--model and --ledger go together: they name what a project's folder would",
            hint="beampermit serve --model NAME --ledger REPOSITORY --registry URI",
        )
    if model:
        folder = state or _state_of(model)
        return Wanted(model, Repository.named(ledger), folder.absolute(), **others)
    from beampermit.project import Project

    found = Project.find(project.resolve())
    folder = state or found.own / "serve"
    return Wanted(found.contract.model.name, Repository.of_project(found), folder.absolute(), **others)


def seconds_of(text: str, option: str) -> float:
    from pydantic import TypeAdapter, ValidationError

    from beampermit.contract.part import Seconds
    from beampermit.errors import BadInput

    try:
        return TypeAdapter(Seconds).validate_python(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValidationError:
        raise BadInput(f"{option} {text!r} is not a duration, such as 15s or 1min") from None


def _bytes(text: str) -> int:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    from beampermit.errors import BadInput

    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise BadInput(f"--log-disk {text!r} is not a size, such as 500MB or 10GB") from None


def _leave() -> None:
    """End at once where EPICS was loaded: its threads outlive an orderly end."""
    if "softioc" in sys.modules:
        from beampermit.live.epics.base import leave

        leave(0)
