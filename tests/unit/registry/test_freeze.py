"""While a model is frozen no other is promoted, and the way back stays open."""

from __future__ import annotations

import pytest

from beampermit.errors import BadInput, Conflict
from support.registry_project import MODEL, Laboratory


@pytest.fixture
def frozen(laboratory: Laboratory) -> Laboratory:
    """Two versions promoted, a third to come, and a freeze."""
    laboratory.promote()
    laboratory.change(2)
    laboratory.promote()
    laboratory.change(3)
    laboratory.freeze(reason="physics run until Friday")
    return laboratory


def test_a_promotion_is_refused_with_who_and_why_until_the_thaw(frozen: Laboratory) -> None:
    with pytest.raises(Conflict, match=r"frozen since \S+Z by Ada .*: physics run until Friday; nothing moved") as no:
        frozen.promote()
    assert (no.value.exit_code, no.value.hint) == (3, "beampermit thaw --reason WHY")
    assert frozen.registry.state(MODEL) == "in service, frozen"
    assert frozen.statuses() == {1: "former", 2: "champion"}, "nothing is registered either"
    frozen.thaw()
    frozen.promote()
    assert frozen.champion() == 3


def test_rollback_and_retire_stay_open(frozen: Laboratory) -> None:
    frozen.rollback()
    assert frozen.champion() == 1
    frozen.retire()
    assert frozen.champion() is None
    assert frozen.registry.state(MODEL) == "out of service, frozen"
    with pytest.raises(Conflict, match="is frozen since"):
        frozen.promote()


def test_a_release_of_the_champion_that_is_run_again_is_still_nothing(frozen: Laboratory) -> None:
    frozen.git("checkout", "--quiet", "HEAD~1")
    frozen.model(2)
    assert not frozen.promote().new


def test_who_was_first_stands_and_a_second_freeze_says_so(frozen: Laboratory) -> None:
    found = frozen.freeze(reason="another reason")
    assert (found.new, found.event.reason) == (False, "physics run until Friday")
    assert [kind for kind, _ in frozen.events()].count("freeze") == 1


def test_a_freeze_while_a_promotion_tests_its_deployment_wins(laboratory: Laboratory) -> None:
    laboratory.promote()
    laboratory.change(2)

    def freeze_meanwhile(step: str) -> None:
        if step == "test the deployment":
            laboratory.freeze(reason="beam is coming")

    with pytest.raises(Conflict, match="somebody else was first: freeze bpm-faults"):
        laboratory.promote(freeze_meanwhile)
    assert laboratory.champion() == 1
    assert laboratory.events() == [("promote", 1), ("freeze", 1)]


def test_thaw_is_for_what_is_frozen(laboratory: Laboratory) -> None:
    laboratory.promote()
    with pytest.raises(BadInput, match="bpm-faults was never frozen"):
        laboratory.thaw()
