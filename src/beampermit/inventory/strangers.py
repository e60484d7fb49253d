"""Services that answer, and that no ledger of the inventory knows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from beampermit.inventory.seen import Site
from beampermit.inventory.services import PREFIX, is_address, status_command
from beampermit.live.observation.services import ServiceStatus
from beampermit.verdicts.inventory import Finding

MARKS = (":PERMIT", ":VERSION", ":STATUS", ":HEARTBEAT")
"""Status PVs that together are those of a service of ours."""
MOST = 500


def suspects(site: Site) -> tuple[str, ...]:
    """Prefixes of services that the archiver or the alarm tree knows."""
    pvs = (site.archived or frozenset()) | (site.tree.pvs if site.tree else frozenset())
    prefixes = (pv.removesuffix(MARKS[0]) for pv in pvs if pv.endswith(MARKS[0]))
    known = (one for one in prefixes if all(f"{one}{mark}" in pvs for mark in MARKS) and PREFIX.fullmatch(one))
    return tuple(sorted(known)[:MOST])


def strangers(answers: Mapping[str, ServiceStatus], models: Collection[str], unread: int) -> Iterator[Finding]:
    """`answers` are of services that no listed contract names; so many `unread` repositories may know them."""
    for name, service in answers.items():
        if service.error or not service.alive or (is_address(name) and service.name in models):
            continue
        what = f"{name} serves {service.name}" if is_address(name) else f"{name} is served"
        message = f"{what}, version {service.version}, and no ledger of this inventory has that model"
        if unread:
            message += f"; {unread} of its repositories could not be read"
        yield Finding(id="INV001", level="MAJOR", message=message, next=status_command(name), unknown=unread > 0)
