"""What most interlocks wait for is fixed first, and one that waits for another is no step."""

from __future__ import annotations

from beampermit.documents.verdicts import Step, steps
from beampermit.verdicts.verdict import Outcome
from support.planted_results import failed, verdict


def test_a_lock_comes_before_data_before_promises_before_proofs() -> None:
    found = [failed(id, id) for id in ("GIT003", "MDL001", "DOC001", "DAT004", "DAT001", "ENV001")]
    assert [step.id for step in steps(found)] == ["ENV001", "DAT001", "DOC001", "GIT003", "DAT004", "MDL001"]


def test_what_waits_for_the_same_is_one_step_and_what_follows_is_none() -> None:
    absent = "there is no contract.yaml; run `beampermit init`"
    found = [
        verdict("ENV001"),
        verdict("ENV002", Outcome.SKIPPED, "waits for ENV001", waits_for=("ENV001",)),
        verdict("MDL001", Outcome.SKIPPED, absent),
        verdict("DOC001", Outcome.SKIPPED, absent),
        failed("DAT001", absent),
    ]
    assert steps(found) == (Step("DAT001", (), absent), Step("DOC001", ("MDL001",), absent))


def test_what_most_wait_for_comes_first() -> None:
    waiting = [verdict(id, Outcome.SKIPPED, "waits for DOC001", waits_for=("DOC001",)) for id in ("MDL001", "PRF001")]
    found = [failed("ENV001", "a"), failed("DOC001", "b"), *waiting]
    assert [step.id for step in steps(found)] == ["DOC001", "ENV001"]
