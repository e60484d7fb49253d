"""DOC: there are people, papers and a date behind the model."""

from __future__ import annotations

from datetime import UTC, datetime

from beampermit.contract import FILE_NAME, Contract
from beampermit.interlocks.interlock import Finding, Interlock, closed, tripped


class DOC001(Interlock):
    "Two owners answer for the model"

    def check(self, contract: Contract) -> Finding:
        """One person may leave: name two owners with different addresses under `model.owners` in `contract.yaml`."""
        addresses = {owner.email.casefold() for owner in contract.model.owners}
        if len(addresses) < 2:
            only = contract.model.owners[0]
            return tripped(
                f"{only.name} <{only.email}> is the only owner; two with different addresses are needed",
                FILE_NAME,
            )
        return closed(f"{len(addresses)} owners: {', '.join(owner.name for owner in contract.model.owners)}")


class DOC004(Interlock):
    "The review date has not passed"

    def check(self, contract: Contract) -> Finding:
        """Review the model with its owners; then set the next date at `model.review_by` in `contract.yaml`."""
        today = datetime.now(UTC).date()
        due = contract.model.review_by
        if due < today:
            return tripped(f"the model was to be reviewed by {due}, {(today - due).days} days ago", FILE_NAME)
        return closed(f"next review by {due}, in {(due - today).days} days")
