"""The disk fills up at any step: exit code 4, nothing is lost, no wrong champion, and the next run finishes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow
Fill = Callable[..., tuple[int, str]]


@pytest.fixture
def second(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory whose first version is champion, and whose second is to be promoted."""
    return prepared("second", lambda made: made.change(2), since="once")


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("store the model", "failed to store the model"),
        ("register the version", "failed to register a version of bpm-faults"),
        ("move alias challenger", "failed to move alias challenger of bpm-faults"),
        ("append to the ledger", "the ledger's next commit cannot be written here, the ledger was not changed"),
        ("move alias champion", "the ledger was updated (promote bpm-faults version 2)"),
    ],
)
def test_a_promotion_on_a_full_disk(second: Laboratory, fill: Fill, step: str, words: str) -> None:
    signed = second.sign()
    code, said = fill(lambda progress: second.promote(progress, signed), step)
    assert code == 4
    assert words in said
    assert second.champion() == 1
    assert second.events()[:1] == [("promote", 1)]
    second.promote(signed=signed)
    assert second.events() == [("promote", 1), ("promote", 2)]
    assert second.statuses() == {1: "former", 2: "champion"}


@pytest.mark.parametrize("step", ["append to the ledger", "remove alias champion"])
def test_a_retirement_on_a_full_disk(second: Laboratory, fill: Fill, step: str) -> None:
    code, said = fill(second.retire, step)
    assert code == 4
    assert ("the ledger was not changed" in said) == (step == "append to the ledger")
    second.retire()
    assert second.events() == [("promote", 1), ("retire", 1)]
    assert second.champion() is None


def test_a_rollback_and_a_reconcile_on_a_full_disk(second: Laboratory, fill: Fill) -> None:
    second.promote()
    code, said = fill(second.rollback, "check the bytes of the rollback target")
    assert (code, second.champion(), second.events()) == (4, 2, [("promote", 1), ("promote", 2)])
    assert "version 1 of bpm-faults" in said
    second.registry.set_alias(MODEL, "champion", 1)
    code, said = fill(second.reconcile, "move alias champion")
    assert code == 4
    assert "failed to move alias champion of bpm-faults" in said
    second.reconcile()
    assert second.champion() == 2
    second.rollback()
    assert (second.champion(), second.events()[-1]) == (1, ("rollback", 1))
