"""Killed at any step of any verb: the next run finishes the work, and one more changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from beampermit.verdicts.verdict import Where
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow

PROMOTE = (
    "verify the permit",
    "store the model",
    "register the version",
    "move alias challenger",
    "test the deployment",
    "append to the ledger",
    "move alias champion",
    "tag the former champion",
    "tag the champion",
)
ROLLBACK = (
    "read the ledger",
    "check the bytes of the rollback target",
    "append to the ledger",
    "move alias champion",
    "tag the former champion",
    "tag the champion",
)
RETIRE = (
    "read the ledger",
    "append to the ledger",
    "tag the retired version",
    "tag the model",
    "remove alias champion",
)
FREEZE = THAW = ("read the ledger", "append to the ledger", "tag the model")
RE_SIGN = ("read the ledger", "append to the ledger", "tag a version that is not believed")
MOVE = ("read the ledger", "append to the ledger")
RECONCILE = (
    "check the bytes of the champion",
    "check the bytes of a version with wrong tags",
    "move alias champion",
    "tag the former champion",
    "tag the champion",
    "tag the model",
    "look for runs without a version",
)
"""Of a registry in which everything was changed by hand."""
Kill = Callable[..., None]


@pytest.fixture
def second(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory whose first version is champion, and whose second is to be promoted."""
    return prepared("second", lambda made: made.change(2), since="once")


@pytest.fixture
def third(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory with two versions promoted and a third prepared."""
    return prepared("third", lambda made: made.change(3), since="twice")


@pytest.fixture
def thrice(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory with three versions promoted."""
    return prepared("thrice", lambda made: made.change(3), Laboratory.promote, since="twice")


def test_the_steps_below_are_all_there_are(second: Laboratory) -> None:
    """Each announced step is where the verb is killed below, so a new step must be added here."""

    def announced(verb: Callable[[], object]) -> tuple[str, ...]:
        second.said.clear()
        verb()
        return tuple(second.said)

    assert announced(second.promote) == PROMOTE
    assert announced(second.freeze) == FREEZE
    assert announced(second.thaw) == THAW
    second.change_the_registry()
    assert announced(second.reconcile) == RECONCILE
    assert announced(second.rollback) == ROLLBACK
    assert announced(second.retire) == RETIRE
    private, public = second.new_key("next")
    second.trust(public)
    assert announced(lambda: second.re_sign(1, private)) == RE_SIGN
    second.registry.set_tags(MODEL, identity="7")
    assert announced(second.move) == MOVE


@pytest.mark.parametrize("step", PROMOTE)
def test_a_killed_promotion_is_finished_by_the_next_run(second: Laboratory, kill: Kill, step: str) -> None:
    signed = second.sign()
    kill(lambda progress: second.promote(progress, signed), step)
    assert second.champion() in (1, 2)
    assert second.champion() == 1 or second.last().version == 2, "a champion that the ledger does not know"

    second.promote(signed=signed)

    assert second.events() == [("promote", 1), ("promote", 2)]
    assert second.champion() == 2
    assert second.statuses() == {1: "former", 2: "champion"}
    assert second.registry.alias(MODEL, "challenger") == 2
    again = second.promote(signed=signed)
    assert (again.new, again.changes, again.event.version) == (False, (), 2)


@pytest.mark.parametrize("step", PROMOTE[1:6])
def test_a_killed_promotion_is_finished_with_a_newly_signed_permit(
    second: Laboratory, kill: Kill, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = second.sign()
    kill(lambda progress: second.promote(progress, signed), step)
    elsewhere = Where.here().model_copy(update={"host": "ci-2"})
    monkeypatch.setattr(Where, "here", lambda: elsewhere)
    anew = second.sign()
    assert anew.statement.digest != signed.statement.digest
    second.promote(signed=anew)
    assert second.events() == [("promote", 1), ("promote", 2)]
    assert second.statuses() == {1: "former", 2: "champion"}
    version = second.registry.version(MODEL, 2)
    assert version is not None
    assert version.tags["permit"] == anew.statement.digest == second.last().permit


@pytest.mark.parametrize("step", ["move alias champion", "tag the former champion", "tag the champion"])
def test_a_killed_promotion_is_finished_by_that_of_the_next_model(third: Laboratory, kill: Kill, step: str) -> None:
    """The next promotion also checks the versions that the killed one did not update."""
    kill(third.promote, step)
    third.change(4)
    third.promote()
    assert third.statuses() == {1: "former", 2: "former", 3: "former", 4: "champion"}
    assert third.reconcile() == ()


@pytest.mark.parametrize("step", ROLLBACK)
def test_a_killed_rollback_is_finished_by_the_next_run(thrice: Laboratory, kill: Kill, step: str) -> None:
    kill(thrice.rollback, step)

    thrice.rollback()

    assert thrice.events() == [("promote", 1), ("promote", 2), ("promote", 3), ("rollback", 2)]
    assert thrice.champion() == 2
    assert thrice.statuses() == {1: "former", 2: "champion", 3: "former"}
    again = thrice.rollback(to=2)
    assert (again.new, again.changes) == (False, ())


@pytest.mark.parametrize("step", RETIRE)
def test_a_killed_retirement_is_finished_by_the_next_run(third: Laboratory, kill: Kill, step: str) -> None:
    kill(third.retire, step)
    assert third.champion() in (2, None)

    third.retire()

    assert third.events() == [("promote", 1), ("promote", 2), ("retire", 2)]
    assert third.champion() is None
    assert third.statuses() == {1: "former", 2: "retired"}
    assert third.registry.state(MODEL) == "out of service"
    again = third.retire()
    assert (again.new, again.changes) == (False, ())


@pytest.mark.parametrize("step", FREEZE)
def test_a_killed_freeze_and_a_killed_thaw_are_finished_by_the_next_run(
    second: Laboratory, kill: Kill, step: str
) -> None:
    kill(second.freeze, step)
    second.freeze()
    assert second.registry.state(MODEL) == "in service, frozen"
    kill(second.thaw, step)
    second.thaw()
    assert second.registry.state(MODEL) == "in service"
    assert second.events() == [("promote", 1), ("freeze", 1), ("thaw", 1)]
    again = second.thaw()
    assert (again.new, again.changes) == (False, ())


@pytest.mark.parametrize("step", RE_SIGN)
def test_a_killed_re_sign_is_finished_by_the_next_run(third: Laboratory, kill: Kill, step: str) -> None:
    third.retire()
    private, public = third.new_key("next")
    third.trust(public)
    kill(lambda progress: third.re_sign(2, private, progress=progress), step)
    third.re_sign(2, private)
    assert third.events()[2:] == [("retire", 2), ("re-sign", 2)]
    assert third.statuses() == {1: "not believed", 2: "retired"}
    assert third.reconcile() == ()


@pytest.mark.parametrize("step", MOVE)
def test_a_killed_move_is_finished_by_the_next_run(second: Laboratory, kill: Kill, step: str) -> None:
    second.registry.set_tags(MODEL, identity="7")
    kill(second.move, step)
    second.move()
    assert second.events() == [("promote", 1), ("move", 1)]
    assert second.reconcile() == ()


@pytest.mark.parametrize("step", RECONCILE)
def test_a_killed_reconcile_is_finished_by_the_next_run(third: Laboratory, kill: Kill, step: str) -> None:
    third.change_the_registry()
    kill(third.reconcile, step)

    third.reconcile()

    assert third.champion() == 2
    assert third.statuses() == {1: "former", 2: "champion"}
    assert third.registry.state(MODEL) == "in service"
    assert third.reconcile() == ()


def test_a_half_uploaded_model_is_completed(second: Laboratory) -> None:
    signed = second.sign()
    half = second.root.parent / "half"
    half.mkdir()
    (half / "MLmodel").write_text("cut o")
    second.registry.store(MODEL, half, signed.statement.digest, {})
    second.promote(signed=signed)
    assert second.champion() == 2
