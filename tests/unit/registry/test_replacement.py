"""A successor is promoted and what it replaces is retired in one line, shown by the registry of both."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from beampermit.errors import BadInput, Conflict
from beampermit.registry.operations import Result
from beampermit.registry.promotion import Promotion
from beampermit.registry.replacement import replace
from support.registry_project import MODEL, Laboratory, loads

pytestmark = pytest.mark.slow
NEW = "orbit-faults"
UNTIL = "2027-01-31T00:00:00Z"


@pytest.fixture
def two(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Version 1 of a model in service, and another model of the same repository that is not promoted yet."""
    return prepared("two-models", _rename, lambda made: made.change(2), since="once")


def _rename(made: Laboratory) -> None:
    contract = made.root / "contract.yaml"
    contract.write_text(contract.read_text().replace(f"name: {MODEL}", f"name: {NEW}", 1))


def _replace(made: Laboratory, model: str = MODEL, reason: str = "sees more", until: str | None = UNTIL) -> Result:
    promotion = Promotion(made.project, made.ledger, made.registry, made.sign(), loads, made.said.append)
    return replace(promotion, model, reason=reason, until=until)


def test_a_model_is_replaced_with_one_event(two: Laboratory) -> None:
    found = _replace(two)
    assert (found.new, found.event.summary) == (True, f"promote {NEW} version 1, retire {MODEL} version 1")
    assert f"{MODEL}: alias champion removed from version 1: the model is out of service" in found.changes
    ledger = two.ledger
    ledger.fetch()
    assert [event.event for event in ledger.events()] == ["promote", "promote"]
    retirement = ledger.state(MODEL).retired[1]
    assert (retirement.successor_name, retirement.until, retirement.reason) == (NEW, UNTIL, "sees more")
    assert (ledger.state(MODEL).champion, ledger.state(NEW).champion_version) == (None, 1)
    assert (two.registry.state(MODEL), two.registry.alias(NEW, "champion")) == ("out of service", 1)
    again = _replace(two)
    assert (again.new, again.event) == (False, found.event)
    ledger.fetch()
    assert len(ledger.events()) == 2
    # The way back is open for both.
    assert two.rollback(to=1, retired=True).event.version == 1


def test_killed_before_the_registry_was_told_the_next_run_finishes(two: Laboratory) -> None:
    def die(step: str) -> None:
        if step == "remove alias champion":
            raise KeyboardInterrupt

    promotion = Promotion(two.project, two.ledger, two.registry, two.sign(), loads, die)
    with pytest.raises(KeyboardInterrupt):
        replace(promotion, MODEL, reason="sees more")
    assert two.champion() == 1
    assert not _replace(two, until=None).new
    assert two.champion() is None


def test_a_successor_that_was_promoted_before_retires_the_old_model_alone(two: Laboratory) -> None:
    two.promote()
    assert _replace(two).new
    ledger = two.ledger
    ledger.fetch()
    assert [event.event for event in ledger.events()] == ["promote", "promote", "retire"]
    assert ledger.state(MODEL).retired[1].successor_name == NEW


def test_the_successors_next_version_gives_the_old_pvs_another_last_day(two: Laboratory) -> None:
    _replace(two, until=None)
    two.change(3)
    found = _replace(two)
    assert (found.new, found.event.version, found.event.retires, found.event.until) == (True, 2, None, None)
    ledger = two.ledger
    ledger.fetch()
    assert [event.event for event in ledger.events()] == ["promote", "promote", "promote", "retire"]
    assert ledger.state(MODEL).retired[1].until == UNTIL
    assert ledger.state(NEW).champion_version == 2
    assert not _replace(two).new
    assert _replace(two, until="2027-02-28T00:00:00Z").new
    ledger.fetch()
    assert ledger.state(MODEL).retired[1].until == "2027-02-28T00:00:00Z"


def test_what_cannot_be_replaced_leaves_the_ledger_alone(two: Laboratory) -> None:
    with pytest.raises(BadInput, match=f"'orbits' was ever promoted in this ledger, which has: {MODEL}") as caught:
        _replace(two, "orbits")
    assert f"beampermit retire --successor {NEW} --reason WHY" in caught.value.hint
    with pytest.raises(BadInput, match="a reason is required"):
        _replace(two, reason=" ")
    assert two.events() == [("promote", 1)]


def test_an_event_of_the_old_model_meanwhile_wins(two: Laboratory) -> None:
    def freeze_meanwhile(step: str) -> None:
        if step == "test the deployment":
            two.freeze(reason="beam is coming")

    promotion = Promotion(two.project, two.ledger, two.registry, two.sign(), loads, freeze_meanwhile)
    with pytest.raises(Conflict, match="somebody else was first: freeze bpm-faults"):
        replace(promotion, MODEL, reason="sees more")
    assert two.events() == [("promote", 1), ("freeze", 1)]
    assert two.champion() == 1


def test_the_version_before_is_ruled_out(prepared: Callable[..., Laboratory]) -> None:
    made = prepared("second", lambda lab: lab.change(2), since="once")
    assert _replace(made).new
    assert made.statuses() == {1: "retired", 2: "champion"}
    assert not _replace(made).new
    with pytest.raises(BadInput, match="has no version before 2 to roll back to"):
        made.rollback()


def test_a_successor_and_a_last_day_are_added_to_a_retirement(prepared: Callable[..., Laboratory]) -> None:
    from beampermit.registry.operations import retire

    made = prepared("once")
    made.retire(reason="the monitors are gone")
    session = made._change(None)
    told = retire(session, reason="there is a successor", successor=NEW)
    assert (told.new, told.event.successor, told.event.until) == (True, NEW, None)
    assert retire(session, reason="its PVs end", until=UNTIL).event.successor == NEW
    assert not retire(session, reason="again", until=UNTIL).new
    assert made.champion() is None
    for successor, message in (
        ("1", "version 1 cannot be its own successor"),
        ("7", "version 7 was never champion"),
        (MODEL, "is neither a version of bpm-faults nor another"),
        ("Orbit; reboot", "is neither a version"),
    ):
        with pytest.raises(BadInput, match=message):
            retire(session, reason="again", successor=successor)
