"""Bypass an alarm until a time, and end that early: events of the ledger, which need no registry."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from beampermit.contract import FILE_NAME, Contract, parse_contract
from beampermit.contract.causes import causes
from beampermit.errors import BadInput, did_you_mean
from beampermit.project import Project
from beampermit.registry.bypass_subjects import require_subject
from beampermit.registry.bypasses import Bypass
from beampermit.registry.event import Event, provenance, written
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.moments import parse_moment
from beampermit.verdicts.monitoring import CHECKS


def bypass(
    project: Project, ledger: Ledger, alarm: str, *, subject: str = "", until: str, reason: str, now: datetime
) -> tuple[Event, bool]:
    """Bypass an alarm of the version in service; the event in effect, and whether this call appended it.

    It replaces one of the same alarm and subject, which then ends later or earlier. Raises `BadInput` for an alarm or a
    subject that there is not, a time that is past or too far ahead, and without a reason; `Conflict` where somebody
    else was first, `Outside`.
    """
    state, next_line = _read(project, ledger)
    if state.champion is None:
        raise BadInput(f"no version of {project.contract.model.name} is in service", hint="beampermit history")
    contract = _contract_in_service(project, state.champion)
    _require_alarm(alarm, contract)
    require_subject(alarm, subject, contract, project.root)
    end = written(_parse_end(until, contract.monitoring.bypass_at_most, now))
    before = state.bypassed.get((alarm, subject))
    if before and (before.until, before.reason) == (end, reason):
        return before, False
    event = _event(project, next_line, reason, alarm=alarm, subject=subject or None, until=end)
    ledger.append(event)
    return event, True


def end_bypass(
    project: Project, ledger: Ledger, alarm: str, *, subject: str = "", reason: str, now: datetime
) -> tuple[Event, bool]:
    """End the bypass of this alarm and subject; the event that ended it, and whether this call appended it.

    Raises `BadInput` where there was none; `Conflict`, `Outside`.
    """
    state, next_line = _read(project, ledger)
    before = state.bypassed.get((alarm, subject))
    if before is None:
        there, name = "; ".join(one.name for one in state.bypasses(now)) or "none", f"{alarm} {subject}".rstrip()
        raise BadInput(f"{name} is not bypassed; in force: {there}", hint="beampermit bypass")
    if Bypass.of(before).until <= now:
        return before, False
    event = _event(project, next_line, reason, alarm=alarm, subject=before.subject, until=None)
    ledger.append(event)
    return event, True


def _read(project: Project, ledger: Ledger) -> tuple[ModelState, dict[str, Any]]:
    """The state, and what the next line begins with: an event that is appended meanwhile is a conflict."""
    model = project.contract.model.name
    ledger.fetch()
    state = ledger.state(model)
    if state.last_in_service is None:
        raise BadInput(f"no version of {model} was ever promoted", hint="beampermit history")
    line = ledger.read(model).length + 1
    return state, {**state.next_event(state.last_in_service), "event": "bypass", "sequence": line}


def _event(project: Project, next_line: dict[str, Any], reason: str, **own: str | None) -> Event:
    """`until` None is now."""
    if not reason.strip():
        raise BadInput("a reason is required, and the ledger keeps it", hint="beampermit bypass ALARM --reason WHY")
    who = provenance(project.git, reason)
    if who["by"] == "unknown":
        raise BadInput("nobody is named who bypasses it", hint="git config user.name NAME")
    return Event.model_validate({**next_line, **who, **own, "until": own["until"] or who["at"]})


def _contract_in_service(project: Project, champion: Event) -> Contract:
    """That of the champion's commit; the work tree's where this clone does not have the commit."""
    text = project.git.read(champion.commit, FILE_NAME) if project.git.resolve(champion.commit) else None
    return parse_contract(text, f"{champion.commit[:12]}:{FILE_NAME}") if text else project.contract


def _require_alarm(alarm: str, contract: Contract) -> None:
    known = (*CHECKS, *causes(contract.signals))
    if alarm not in known:
        raise BadInput(
            f"{alarm[:80]!r} is not an alarm of {contract.model.name}{did_you_mean(alarm, known)}; alarms are the "
            f"checks {known[0]} to {[*CHECKS][-1]}, and the causes of the contract, such as {known[len(CHECKS)]}"
        )


def _parse_end(text: str, at_most: float, now: datetime) -> datetime:
    end = parse_moment(text, "--until", now)
    if end <= now:
        raise BadInput(
            f"--until {text!r} is {written(end)}, which is past", hint="beampermit bypass ALARM --end --reason WHY"
        )
    # A duration of exactly the limit is rounded up to the next second.
    if end - now > timedelta(seconds=at_most + 1):
        longest = f"{at_most / 86400:g} d" if at_most >= 86400 else f"{at_most / 3600:g} h"
        raise BadInput(
            f"--until {text!r} is {written(end)}; a bypass lasts at most {longest}: monitoring.bypass_at_most",
            file=FILE_NAME,
            hint="bypass it for as long, and again then; an alarm that is wrong needs another limit",
        )
    return end
