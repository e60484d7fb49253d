"""The runbook, for the operator at 3 A.M.: what is needed first comes first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from beampermit.changes.flat import exact
from beampermit.contract import Contract
from beampermit.contract.alarms import alarm_of, unanswered
from beampermit.contract.causes import Cause, causes, limits, raised_by
from beampermit.contract.service import Alarm
from beampermit.documents import rendering
from beampermit.documents.facts import Facts
from beampermit.documents.local_time import local_time
from beampermit.documents.markdown import Markdown, duration, link
from beampermit.documents.monitoring_guide import GUIDES, Guide
from beampermit.documents.page import page
from beampermit.live.status_pvs import prefix_of, status_pv
from beampermit.registry.event import written
from beampermit.verdicts.monitoring import CHECKS


@dataclass(frozen=True)
class Watched:
    """A check of monitoring; `alarm` is what the contract says of it."""

    check: str
    title: str
    pv: str
    guide: Guide
    alarm: Alarm | None


def runbook(facts: Facts) -> Markdown:
    contract = facts.contract
    all_causes = causes(contract.signals)
    zone = contract.operations.time_zone

    def time(at: str | datetime) -> str:
        return local_time(written(at) if isinstance(at, datetime) else at, zone)

    values = {
        "facts": facts,
        "contract": contract,
        "model": contract.model,
        "prefix": prefix_of(contract),
        "status_pv": lambda name: status_pv(contract, name),
        "time": time,
        "fallback": fallback(contract),
        "limits": limits,
        "raised_by": lambda alarm: raised_by(alarm.raised_by, all_causes),
        "first_look": lambda alarm: first_look(facts, raised_by(alarm.raised_by, all_causes)),
        "one_cause": lambda alarm: next((cause.name for cause in raised_by(alarm.raised_by, all_causes)), ""),
        "last_resort": _last_resort(facts),
        "watched": watched(contract),
        "unanswered": [cause.description for cause in unanswered(contract)],
    }
    return rendering.join(rendering.blocks("runbook.md.j2", values))


def runbook_page(facts: Facts) -> str:
    """As one HTML page, for a phone."""
    return page(runbook(facts), f"{facts.contract.model.name}: runbook")


def _last_resort(facts: Facts) -> Markdown:
    """What to do where the steps of an alarm do not help."""
    if facts.before:
        back = f'`beampermit rollback --reason "what happened"` brings back version {facts.before.version}'
    else:
        back = '`beampermit retire --reason "what happened"` takes the model out of service'
    until = "Until then outputs fall back, as *When the model cannot answer* says."
    return Markdown(f"If that does not help: {back}. {until} Call {link(facts.contract.operations.on_call)}.")


def watched(contract: Contract) -> tuple[Watched, ...]:
    """Every check of monitoring, with the alarm that answers it."""
    return tuple(
        Watched(check, title, status_pv(contract, check), GUIDES[check], alarm_of(contract, check))
        for check, title in CHECKS.items()
    )


def first_look(facts: Facts, of: Iterable[Cause]) -> tuple[str, ...]:
    """The PVs to read first at an alarm, in full: of a device table, those of the first device; then what says why."""
    names: list[str] = []
    for cause in of:
        if cause.signal:
            pv = (cause.signal.pv or "").partition("#")[0]
            pv = pv.partition("://")[2] or pv
            names += [facts.example(pv) or pv] if pv else []
        else:
            names += [status_pv(facts.contract, check) for check in cause.checks]
    return tuple(dict.fromkeys((*names, status_pv(facts.contract, "STATUS"), status_pv(facts.contract, "REASON"))))


def fallback(contract: Contract) -> tuple[str, ...]:
    """What is served when the model cannot answer, step by step."""
    rule = contract.fallback
    texts = {"default": _defaults(contract), "invalid": "the output is INVALID."}
    if rule.on_invalid != "hold":
        first = texts[rule.on_invalid]
        return (first[0].upper() + first[1:],)
    held = duration(rule.hold_for) if rule.hold_for else "0 s"
    return (f"The last good value is held for at most {held}.", f"After that, {texts[rule.then]}")


def _defaults(contract: Contract) -> str:
    values = ", ".join(
        f"{signal.name} = {exact(signal.default)}" for signal in contract.signals.outputs if signal.default is not None
    )
    return f"the default is served: {values}."
