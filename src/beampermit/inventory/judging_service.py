"""What is wrong with one model according to its service, beside what the ledger says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from beampermit.inventory.seen import Seen, Site
from beampermit.inventory.services import is_address, status_command
from beampermit.live.observation.monitoring import GRACE, MISSED
from beampermit.registry.event import SKEW, Event
from beampermit.verdicts.inventory import Finding

SETTLES = timedelta(hours=1)
"""So long after a promotion another version may still be served: the new one is installed, and runs beside the old."""
FOLLOWS = timedelta(minutes=10)
"""So long after a retirement the service may not have read it."""
SHOWS = ("SERVING", "DEGRADED")


def service_findings(seen: Seen, site: Site) -> tuple[Finding, ...]:
    return (*_twice(seen), *_service(seen, site))


def _twice(seen: Seen) -> Iterator[Finding]:
    several = {pv: servers for pv, servers in seen.servers.items() if len(servers) > 1}
    if several:
        pv, servers = next(iter(several.items()))
        more = f" (and {len(several) - 1} more PVs)" if len(several) > 1 else ""
        message = f"{len(servers)} servers answer for {pv}{more}: {', '.join(servers)}"
        yield seen.finding("INV003", "MAJOR", message, "end all of them but one: clients take whichever is faster")


def _service(seen: Seen, site: Site) -> Iterator[Finding]:
    service, model = seen.service, seen.model
    if service is None:
        return
    ask = status_command(seen.address)
    if service.error:
        if model.champion:
            message = f"version {model.champion.version} is champion, and {seen.address} is silent: {service.error}"
            yield seen.finding("INV002", "MAJOR", message, ask)
        return
    if is_address(seen.address) and service.name != model.name:
        message = f"{seen.address} serves {service.name}, another model"
        yield seen.finding("INV002" if model.champion else "INV001", "MAJOR", message, ask)
        return
    if not service.alive and model.champion:
        message = f"version {model.champion.version} is champion, and the inference loop of {seen.address} stands"
        yield seen.finding("INV002", "MAJOR", message, ask)
    yield from _version(seen, site, ask)
    yield from _monitor(seen, site)


def _version(seen: Seen, site: Site, ask: str) -> Iterator[Finding]:
    service, model = seen.service, seen.model
    if service is None or not service.version or service.status not in SHOWS:
        return
    served, champion = service.version, model.champion
    retired = next((event for event in model.retired if event.version == served), None)
    if served not in model.promoted:
        message = f"{seen.address} serves version {served}, which the ledger does not know"
        yield seen.finding("INV001", "MAJOR", message, "end this service, then `beampermit history`")
    elif not all(_older(event, FOLLOWS, site) for event in model.retired):
        return
    elif retired or champion is None:
        when = f"retired at {retired.at} by {retired.by}" if retired else "out of service"
        message = f"{seen.address} serves version {served}, which is {when}"
        yield seen.finding("INV011", "MAJOR", message, ask)
    elif served != champion.version and _older(champion, SETTLES, site):
        message = f"{seen.address} serves version {served}; version {champion.version} is champion since {champion.at}"
        yield seen.finding("INV004", "MAJOR", message, ask)


def _monitor(seen: Seen, site: Site) -> Iterator[Finding]:
    """A monitor that was started with the first promotion has no result before its first window."""
    service, champion, declared = seen.service, seen.model.champion, seen.declared
    if service is None or champion is None or declared is None or not _older(champion, SETTLES, site):
        return
    limit = MISSED * declared.every + GRACE
    if service.monitor_age is None:
        yield seen.finding("INV008", "MINOR", "there is no result of monitoring", "beampermit monitor --log FOLDER")
    elif service.monitor_age > limit:
        message = f"the newest result of monitoring is {service.monitor_age:.0f} s old, {limit:.0f} s is the limit"
        yield seen.finding("INV008", "MAJOR", message, "beampermit monitor --log FOLDER")


def _older(event: Event, span: timedelta, site: Site) -> bool:
    """Whoever writes a line chooses its time: one in the future holds nothing back."""
    return not -SKEW <= site.at - event.moment <= span
