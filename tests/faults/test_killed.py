"""Killed at any step of a promotion or a rollback, the next run finishes the work; one more changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from laboratory import MODEL, Laboratory

pytestmark = pytest.mark.slow

PROMOTE = (
    "verify the permit",
    "store the model",
    "register the version",
    "move challenger",
    "test the deployment",
    "append to the ledger",
    "move champion",
    "mark the champion before",
    "mark the champion",
)
ROLLBACK = (
    "read the ledger",
    "judge the bytes to go back to",
    "append to the ledger",
    "move champion",
    "mark the champion before",
    "mark the champion",
)
Kill = Callable[..., None]


@pytest.fixture
def second(laboratory: Laboratory) -> Laboratory:
    """A laboratory whose first version is champion, and whose second is to be promoted."""
    laboratory.promote()
    laboratory.change(2)
    laboratory.said.clear()
    return laboratory


def test_the_steps_below_are_all_there_are(second: Laboratory) -> None:
    second.promote()
    assert tuple(second.said) == PROMOTE
    second.said.clear()
    second.rollback()
    assert tuple(second.said) == ROLLBACK


@pytest.mark.parametrize("step", PROMOTE)
def test_a_killed_promotion_is_finished_by_the_next_run(second: Laboratory, kill: Kill, step: str) -> None:
    signed = second.sign()
    kill(lambda watch: second.promote(watch, signed), step)
    assert second.champion() in (1, 2)
    assert second.champion() == 1 or second.last().version == 2, "a champion that the ledger does not know"

    second.promote(signed=signed)

    assert second.events() == [("promote", 1), ("promote", 2)]
    assert second.champion() == 2
    assert second.statuses() == {1: "former", 2: "champion"}
    assert second.registry.alias(MODEL, "challenger") == 2
    again = second.promote(signed=signed)
    assert (again.new, again.moved, again.event.version) == (False, (), 2)


@pytest.mark.parametrize("step", PROMOTE[1:6])
def test_a_killed_promotion_is_finished_under_a_permit_that_was_signed_anew(
    second: Laboratory, kill: Kill, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = second.sign()
    kill(lambda watch: second.promote(watch, signed), step)
    monkeypatch.setattr(
        "laboratory.WHERE", signed.statement.predicate.verdicts[0].where.model_copy(update={"host": "ci-2"})
    )
    anew = second.sign()
    assert anew.statement.digest != signed.statement.digest
    second.promote(signed=anew)
    assert second.events() == [("promote", 1), ("promote", 2)]
    assert second.statuses() == {1: "former", 2: "champion"}
    version = second.registry.version(MODEL, 2)
    assert version is not None
    assert version.tags["permit"] == anew.statement.digest == second.last().permit


@pytest.mark.parametrize("step", ROLLBACK)
def test_a_killed_rollback_is_finished_by_the_next_run(second: Laboratory, kill: Kill, step: str) -> None:
    second.promote()
    second.change(3)
    second.promote()
    kill(second.rollback, step)

    second.rollback()

    assert second.events() == [("promote", 1), ("promote", 2), ("promote", 3), ("rollback", 2)]
    assert second.champion() == 2
    assert second.statuses() == {1: "former", 2: "champion", 3: "former"}
    again = second.rollback(to=2)
    assert (again.new, again.moved) == (False, ())


def test_a_run_that_left_half_of_a_model_behind_is_completed(second: Laboratory) -> None:
    signed = second.sign()
    half = second.root.parent / "half"
    half.mkdir()
    (half / "MLmodel").write_text("cut o")
    second.registry.store(MODEL, half, signed.statement.digest, {})
    second.promote(signed=signed)
    assert second.champion() == 2
