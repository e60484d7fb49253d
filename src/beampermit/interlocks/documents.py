"""DOC: there are people, documents and a date behind the model."""

from __future__ import annotations

from datetime import UTC, datetime

from beampermit.contract import FILE_NAME, Contract
from beampermit.errors import several
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.project import Project
from beampermit.verdicts.verdict import Location

SHOWN = 6
"""As many gaps are named in a reason as a line holds; the evidence has all."""


class DOC001(Interlock):
    "Two owners answer for the model"

    def check(self, contract: Contract) -> Finding:
        """One person may leave: name two people, each with an address, under `model.owners` in `contract.yaml`."""
        owners = contract.model.owners
        people = min(len({_folded(getattr(owner, key)) for owner in owners}) for key in ("name", "email"))
        if people < 2:
            only = owners[0]
            return failed(
                f"{only.name} <{only.email}> is the only owner; two with different names and addresses are needed",
                FILE_NAME,
            )
        return passed(f"{people} owners: {', '.join(owner.name for owner in owners)}")


class DOC002(Interlock):
    "Card and runbook can be made complete"

    def check(self, project: Project, contract: Contract) -> Finding:
        """These keys of `contract.yaml` only a person can write; card and runbook are made from them. Write each where
        it is named, then look at the documents with `beampermit card` and `beampermit runbook`."""
        from beampermit.contract.completeness import gaps

        found = gaps(contract, project.path(FILE_NAME).read_text(encoding="utf-8"))
        if found:
            words = several([f"{gap.key} is {gap.why}" for gap in found], SHOWN)
            places = (Location(file=FILE_NAME, line=gap.line) for gap in found)
            return failed(words, *places, missing=[gap.key for gap in found])
        return passed(
            f"every text that card and runbook need is written, {len(contract.operations.alarms)} alarms with it"
        )


class DOC003(Interlock):
    "The runbook has an action for every alarm"

    def check(self, project: Project, contract: Contract) -> Finding:
        """Each limit of an output, each answer that cannot be trusted, each input that may be too old, and drift wakes
        somebody. Write under `operations.alarms` in `contract.yaml` what it means and what is done, name under
        `raised_by` what raises it, then read it as the operator will: `beampermit runbook`."""
        from beampermit.contract.alarms import problems

        found = problems(contract, project.path(FILE_NAME).read_text(encoding="utf-8"))
        if found:
            words = [problem.message for problem in found]
            places = (Location(file=FILE_NAME, line=problem.line) for problem in found)
            return failed(several(words, SHOWN), *places, problems=words)
        answered = sum(len(alarm.raised_by) for alarm in contract.operations.alarms)
        return passed(f"{answered} causes of alarms, each with meaning and action")


class DOC004(Interlock):
    "The review date has not passed"

    def check(self, contract: Contract) -> Finding:
        """Review the model with its owners; then set the next date at `model.review_by` in `contract.yaml`."""
        today = datetime.now(UTC).date()
        due = contract.model.review_by
        if due < today:
            return failed(f"the model was to be reviewed by {due}, {(today - due).days} days ago", FILE_NAME)
        return passed(f"next review by {due}, in {(due - today).days} days")


def _folded(text: str) -> str:
    """The same for one person however it is written."""
    return " ".join(text.split()).casefold()
