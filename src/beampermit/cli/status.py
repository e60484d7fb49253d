"""`beampermit status`: a table of services."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from beampermit.cli.output import Folder, Json, console, plain, show

if TYPE_CHECKING:
    from beampermit.live.observation.services import Clients, ServiceStatus

UNREACHED = 4
ROW = "{:<16} {:>7}  {:<9} {:<16} {:>9} {:>8}  {}"


def status(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Prefixes of status PVs, such as BPM-FAULTS.", show_default="the project's"),
    ] = None,
    http: Annotated[list[str] | None, typer.Option("--http", help="URL of a service; may be repeated.")] = None,
    clients: Annotated[
        bool, typer.Option("--clients", help="List who is connected to the PVs of each --http.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds that an answer may take.")] = 3.0,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show a table of services: version, status, ages.

    Exit codes: 0 all serve, 1 one of them is degraded, invalid, retired or stands still, 4 one does not answer.
    """
    from beampermit.live.observation.services import ask_by_http, ask_by_pvs, ask_for_clients

    if clients:
        _list_clients([ask_for_clients(url, timeout) for url in http or ()], as_json)
    if not names and not http:
        from beampermit.live.status_pvs import prefix_of
        from beampermit.project import Project

        names = [prefix_of(Project.find(project.resolve()).contract)]
    services = [ask_by_http(url, timeout) for url in http or ()]
    services += ask_by_pvs(names, timeout) if names else []
    show([service.model_dump() for service in services], lambda: _print(services), as_json)
    raise typer.Exit(_exit_code(services))


def _list_clients(services: list[Clients], as_json: bool) -> NoReturn:
    from beampermit.errors import BadInput

    if not services:
        raise BadInput("--clients needs the address of the service", hint="beampermit status --clients --http URL")

    def text() -> None:
        target = console()
        for service in services:
            target.print(plain((service.error and f"{service.name}: {service.error}") or service.name))
            for one in service.clients:
                who = f"{one.user or 'somebody'} at {one.host}, {one.protocol}: {', '.join(one.pvs)}"
                target.print(f"  {plain(who)}")
            if not service.clients and not service.error:
                target.print("  no client is connected")

    show([service.model_dump() for service in services], text, as_json)
    raise typer.Exit(UNREACHED if any(service.error for service in services) else 0)


def _exit_code(services: list[ServiceStatus]) -> int:
    """As of several verdicts: what is known to be wrong decides, then what is not known."""
    if any(not service.serving for service in services if not service.error):
        return 1
    return UNREACHED if any(service.error for service in services) else 0


def _print(services: list[ServiceStatus]) -> None:
    target = console()
    target.print(ROW.format("service", "version", "status", "since", "input age", "latency", "loop").rstrip())
    for service in services:
        target.print(_row(service).rstrip())
        why = service.error or service.reason
        for line in dict.fromkeys(filter(None, (why, service.log))):
            target.print(f"  {plain(line)}")


def _row(service: ServiceStatus) -> str:
    from datetime import datetime

    since = f"{datetime.fromtimestamp(service.since):%Y-%m-%d %H:%M}" if service.since else ""
    name = plain(service.name)
    # A long name keeps its line, and pushes the rest of it to the right.
    return ROW.format(
        name,
        service.version or "",
        "no answer" if service.error else plain(service.status),
        since,
        _seconds(service.input_age),
        _seconds(service.latency_p99),
        "" if service.error else "runs" if service.alive else "stands",
    )


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value * 1e3:.1f} ms" if abs(value) < 1 else f"{value:.1f} s"
