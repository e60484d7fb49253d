"""What an inventory says of each model, beside what is wrong."""

from __future__ import annotations

from datetime import datetime

from beampermit.inventory.seen import Seen
from beampermit.registry.event import written
from beampermit.verdicts.inventory import Bypassed, Entry, Package


def entry_of(seen: Seen, at: datetime) -> Entry:
    """At a moment, which decides whose bypass is in force."""
    model, declared, service = seen.model, seen.declared, seen.service
    said = model.now or declared
    event = model.champion or next(
        (one for one in model.retired if model.last and one.version == model.last.version), None
    )
    about = {}
    if said:
        about = {
            "summary": said.summary,
            "owners": tuple(owner.name for owner in said.owners),
            "on_call": said.on_call,
            "review_by": f"{said.review_by}",
        }
    if declared and seen.pvs:
        about |= {"prefix": declared.prefix, "pvs": len(seen.pvs)}
    if event:
        about |= {
            "version": event.version,
            "since": event.at,
            "by": event.by,
            "commit": event.commit,
            "permit": event.permit,
        }
    if service:
        about |= {
            "asked": True,
            "status": service.status,
            "reason": service.error or service.reason,
            "served": service.version,
            "alive": service.alive,
            "monitored": service.monitor_age,
        }
    return Entry(
        project=seen.project,
        folder=model.folder,
        model=model.name,
        state=model.state,
        frozen=model.frozen is not None,
        bypassed=tuple(
            Bypassed(alarm=one.name, until=written(one.until), by=one.by, reason=one.reason)
            for one in model.bypasses(at)
        ),
        registry=seen.shown.champion if seen.shown else None,
        vulnerable=tuple(
            Package(name=known.package.name, version=known.package.version, known=known.ids) for known in seen.known
        ),
        **about,
    )


def unread_entry(project: str) -> Entry:
    """Of a repository of which nothing is known."""
    return Entry(project=project, model="", state="not known")
