"""`beampermit bypass`: an alarm that is not raised until a time, by whom and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.output import Folder, Json, console, show

if TYPE_CHECKING:
    from beampermit.registry.bypasses import Bypass
    from beampermit.registry.event import Event


def bypass(
    alarm: Annotated[
        str,
        typer.Argument(help="A check of monitoring such as MON001, or a cause of the contract.", show_default="list"),
    ] = "",
    subject: Annotated[
        str, typer.Option(help="Signal, device or PV that it is bypassed for.", show_default="all of them")
    ] = "",
    until: Annotated[str, typer.Option(metavar="TIME|DURATION", help="Such as 8h, or 2026-11-30T06:00+01:00.")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")] = "",
    end: Annotated[bool, typer.Option("--end", help="End the bypass now.")] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Bypass an alarm until a time; it ends by itself.

    Its level is measured and shown meanwhile, with who bypassed it and why. Without an alarm: list what is bypassed.
    """
    from datetime import UTC, datetime

    from beampermit.errors import BadInput
    from beampermit.project import Project
    from beampermit.registry import bypassing
    from beampermit.registry.ledger import Ledger

    repository, now = Project.find(project.resolve()), datetime.now(UTC)
    ledger = Ledger(repository.git)
    if not alarm:
        ledger.fetch()
        at_most = repository.contract.monitoring.bypass_at_most
        _list(ledger.state(repository.contract.model.name).bypasses(now, at_most), as_json)
        return
    if bool(until) == end:
        raise BadInput("either --until or --end is needed", hint=f"beampermit bypass {alarm} --until 8h --reason WHY")
    if end:
        event, new = bypassing.end_bypass(repository, ledger, alarm, subject=subject, reason=reason, now=now)
    else:
        event, new = bypassing.bypass(repository, ledger, alarm, subject=subject, until=until, reason=reason, now=now)
    show({"new": new, "event": event.content}, lambda: console().print(_said(event, new)), as_json)


def _said(event: Event, new: bool) -> str:
    ended = event.until == event.at
    done = ("" if new else "already ") + ("ended, the bypass of" if ended else "bypassed:")
    until = "" if ended else f" until {event.until}"
    return f"{done} {event.alarm_name} of {event.model}{until}, at {event.at} by {event.by}: {event.reason}"


def _list(bypasses: tuple[Bypass, ...], as_json: bool) -> None:
    from beampermit.documents.markdown import logged
    from beampermit.registry.event import written

    body = [
        {
            "alarm": one.alarm,
            "subject": one.subject,
            "since": written(one.since),
            "until": written(one.until),
            "by": one.by,
            "reason": one.reason,
        }
        for one in bypasses
    ]
    lines = [f"{one.name} until {written(one.until)} by {one.by}: {one.reason}" for one in bypasses]
    show(body, lambda: console().print("\n".join(map(logged, lines)) or "no alarm is bypassed"), as_json)
