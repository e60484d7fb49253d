"""DOC: the model has owners, documents and a review date."""

from __future__ import annotations

from datetime import UTC, datetime

from beampermit.contract import FILE_NAME, Contract
from beampermit.errors import counted, several
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.project import Project
from beampermit.verdicts.verdict import Location

SHOWN = 6
"""Gaps named in a reason; the evidence has all."""


class DOC001(Interlock):
    "The model has at least two owners"

    def check(self, contract: Contract) -> Finding:
        """Name two people under `model.owners` in `contract.yaml`, each with an e-mail address, in case one leaves."""
        owners = contract.model.owners
        people = min(len({_folded(getattr(owner, key)) for owner in owners}) for key in ("name", "email"))
        if people < 2:
            only = owners[0]
            return failed(
                f"{only.name} <{only.email}> is the only owner; a second one needs another name and address",
                FILE_NAME,
            )
        return passed(f"{people} owners: {', '.join(owner.name for owner in owners)}")


class DOC002(Interlock):
    "The contract has every text of model card and runbook"

    def check(self, project: Project, contract: Contract) -> Finding:
        """Write the missing texts in `contract.yaml`; they cannot be generated. Model card and runbook are generated
        from them: read both with `beampermit card` and `beampermit runbook`."""
        from beampermit.contract.completeness import gaps

        missing = gaps(contract, project.path(FILE_NAME).read_text(encoding="utf-8"))
        if missing:
            reasons = [f"{gap.key} is {gap.why}" for gap in missing]
            places = zip(missing, reasons, strict=True)
            locations = (Location(file=FILE_NAME, line=gap.line, reason=reason) for gap, reason in places)
            return failed(several(reasons, SHOWN), *locations, missing=[gap.key for gap in missing])
        return passed(f"every text is written, with those of {counted(len(contract.operations.alarms), 'alarm')}")


class DOC003(Interlock):
    "The runbook has an action for every alarm"

    def check(self, project: Project, contract: Contract) -> Finding:
        """Every alarm limit of an output, an invalid output, a stale input and drift can each raise an alarm. Describe
        every one under `operations.alarms` in `contract.yaml`: what raises it (`raised_by`), what it means, and what
        the operator does. Then read the result as the operator will: `beampermit runbook`."""
        from beampermit.contract.alarms import problems
        from beampermit.contract.causes import causes

        unanswered = problems(contract, project.path(FILE_NAME).read_text(encoding="utf-8"))
        if unanswered:
            reasons = [problem.message for problem in unanswered]
            locations = (Location(file=FILE_NAME, line=problem.line, reason=problem.message) for problem in unanswered)
            return failed(several(reasons, SHOWN), *locations, problems=reasons)
        named = [cause for cause in causes(contract.signals).values() if not cause.answered]
        return passed(f"{len(named)} causes of alarms, each with meaning and action")


class DOC004(Interlock):
    "The review date has not passed"

    def check(self, contract: Contract) -> Finding:
        """Review the model with its owners, then set the next date under `model.review_by` in `contract.yaml`."""
        today = datetime.now(UTC).date()
        due = contract.model.review_by
        if due < today:
            days = (today - due).days
            return failed(f"the review was due by {due}, {counted(days, 'day')} ago", FILE_NAME)
        return passed(f"the next review is due by {due}, in {counted((due - today).days, 'day')}")


def _folded(text: str) -> str:
    """Equal for two spellings that differ in case and spaces only."""
    return " ".join(text.split()).casefold()
