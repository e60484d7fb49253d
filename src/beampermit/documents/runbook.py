"""The runbook, for the operator at 3 A.M.: what is needed first comes first."""

from __future__ import annotations

from beampermit.changes.flat import exact
from beampermit.contract import Contract
from beampermit.contract.alarms import unanswered
from beampermit.contract.causes import causes, limits, raised_by
from beampermit.documents import rendering
from beampermit.documents.facts import Facts
from beampermit.documents.markdown import Markdown, duration
from beampermit.documents.page import page


def runbook(facts: Facts) -> Markdown:
    all_causes = causes(facts.contract.signals)
    values = {
        "facts": facts,
        "contract": facts.contract,
        "model": facts.contract.model,
        "fallback": fallback(facts.contract),
        "limits": limits,
        "raised_by": lambda alarm: raised_by(alarm.raised_by, all_causes),
        "unanswered": [cause.description for cause in unanswered(facts.contract)],
    }
    return rendering.join(rendering.blocks("runbook.md.j2", values))


def runbook_page(facts: Facts) -> str:
    """As one HTML page, for a phone."""
    return page(runbook(facts), f"{facts.contract.model.name}: runbook")


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
