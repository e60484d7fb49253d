"""What is wrong with one model according to ledger, registry, owners, keys, locks and the site's lists."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from datetime import timedelta

from beampermit.contract import FILE_NAME
from beampermit.errors import counted, more
from beampermit.inventory.judging_service import service_findings
from beampermit.inventory.seen import Seen, Site
from beampermit.verdicts.inventory import Finding

HISTORY = "beampermit history"
REGENERATE = "beampermit deployment"


def findings_of(seen: Seen, site: Site) -> tuple[Finding, ...]:
    rules = (_troubles, _belief, _registry, _review, _owners, _key, _frozen, _vulnerable, _alarms, _archive)
    found = [finding for rule in rules for finding in rule(seen, site)]
    return (*service_findings(seen, site), *found)


def _troubles(seen: Seen, _: Site) -> Iterator[Finding]:
    for trouble in seen.model.troubles:
        yield seen.finding("INV016", "MINOR", trouble, HISTORY)


def _belief(seen: Seen, _: Site) -> Iterator[Finding]:
    if seen.model.doubts:
        yield seen.finding("INV017", "MAJOR", seen.model.doubts, HISTORY)


def _registry(seen: Seen, _: Site) -> Iterator[Finding]:
    home, shown = seen.model.home, seen.shown
    if shown is None or home is None:
        return
    promoted = seen.model.champion.version if seen.model.champion else None
    if not shown.identity:
        yield seen.finding("INV005", "MAJOR", "the registry does not know this model", "beampermit reconcile --rebuild")
    elif shown.champion != promoted:
        there = f"version {shown.champion}" if shown.champion else "no version"
        here = f"version {promoted}" if promoted else "none"
        message = f"{there} has the alias champion in the registry; according to the ledger it is {here}"
        yield seen.finding("INV005", "MAJOR", message, "beampermit reconcile --dry-run")


def _review(seen: Seen, site: Site) -> Iterator[Finding]:
    """The date on the protected branch: an owner who has reviewed the model changes it there."""
    declared = seen.model.now or seen.declared
    if declared is None or seen.model.state == "retired":
        return
    days = (site.at.date() - declared.review_by).days
    if days > 0:
        message = f"the review was due by {declared.review_by}, {counted(days, 'day')} ago"
        advice = f"review the model, then set the next date under model.review_by in {FILE_NAME}"
        yield seen.finding("INV006", "MINOR", message, advice)


def _owners(seen: Seen, site: Site) -> Iterator[Finding]:
    declared = seen.model.now or seen.declared
    if declared is None or seen.model.state == "retired":
        return
    there, where = _people(seen, site)
    gone = [owner for owner in declared.owners if there is not None and owner.email.lower() not in there]
    if not gone:
        return
    names = ", ".join(f"{owner.name} <{owner.email}>" for owner in gone)
    all_gone = len(gone) == len(declared.owners)
    message = f"{'no owner is' if all_gone else 'an owner is not'} in {where}: {names}"
    yield seen.finding(
        "INV007", "MAJOR" if all_gone else "MINOR", message, f"name who is there under model.owners in {FILE_NAME}"
    )


def _people(seen: Seen, site: Site) -> tuple[Iterable[str] | None, str]:
    """Addresses of those who are there. CODEOWNERS tells only where it names nobody by account or team."""
    if site.people is not None:
        return site.people, "the list of people"
    owners = seen.repository.code_owners
    if not owners or any(owner.startswith("@") for owner in owners):
        return None, ""
    return {owner.lower() for owner in owners}, "CODEOWNERS"


def _key(seen: Seen, site: Site) -> Iterator[Finding]:
    """Of several keys, the one that ends last counts: one that was replaced stays in the file, with its last day."""
    ends = [key.until for key in seen.repository.keys]
    known = [until for until in ends if until is not None]
    if seen.model.state != "in service" or not known or len(known) < len(ends):
        return
    last = max(known)
    if last - site.at > timedelta(seconds=site.key_ends_within):
        return
    over = last < site.at
    message = f"the last valid key {'ended' if over else 'ends'} on {last:%Y-%m-%d}: no permit is signed after that"
    yield seen.finding("INV010", "MAJOR" if over else "MINOR", message, "beampermit permit keygen --out FOLDER")


def _frozen(seen: Seen, _: Site) -> Iterator[Finding]:
    if frozen := seen.model.frozen:
        message = f"promotions are frozen since {frozen.at} by {frozen.by}: {frozen.reason}"
        yield seen.finding("INV012", "NOTE", message, "beampermit thaw --reason WHY")


def _vulnerable(seen: Seen, _: Site) -> Iterator[Finding]:
    for known in seen.known:
        package = known.package
        fixed = f"; {known.fixed} has none of them" if known.fixed else ""
        kind = ", a conda package judged by its name" if package.conda else ""
        message = f"{package.name} {package.version}{kind} has {', '.join(known.ids)}{fixed}"
        advice = f"beampermit env lock --update {shlex.quote(package.name)}"
        yield seen.finding("INV013", "MAJOR" if known.grave else "MINOR", message, advice)


def _alarms(seen: Seen, site: Site) -> Iterator[Finding]:
    if site.tree is None or not seen.alarmed_pvs:
        return
    if seen.model.state == "retired":
        on = [pv for pv in seen.alarmed_pvs if pv in site.tree.pvs - site.tree.disabled]
        if on:
            message = f"the model is retired, and {_named(on)} is enabled in the alarm tree"
            yield seen.finding("INV014", "MINOR", message, "disable the entries in the alarm tree")
    if seen.model.state != "in service":
        return
    if missing := [pv for pv in seen.alarmed_pvs if pv not in site.tree.pvs]:
        message = f"{_named(missing)} is not in the alarm tree"
        yield seen.finding("INV014", "MINOR", message, REGENERATE)
    if off := [pv for pv in seen.alarmed_pvs if pv in site.tree.disabled]:
        message = f"{_named(off)} is disabled in the alarm tree, without an end"
        yield seen.finding("INV014", "MINOR", message, "enable the entries, or retire the model")


def _archive(seen: Seen, site: Site) -> Iterator[Finding]:
    if site.archived is None or seen.model.state != "in service":
        return
    wanted = (*seen.pvs, *seen.status_pvs)
    if missing := [pv for pv in wanted if pv not in site.archived]:
        yield seen.finding("INV015", "MINOR", f"{_named(missing)} is not archived", REGENERATE)


def _named(pvs: list[str]) -> str:
    """Such as `B1:FAULT (and 119 more)`."""
    return f"{pvs[0]}{more(len(pvs) - 1)}"
