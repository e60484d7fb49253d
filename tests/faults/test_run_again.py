"""A workflow run that is run again does nothing twice, and does not undo what was done since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from beampermit.interlocks.families import load_interlocks
from support.registry_project import Laboratory

pytestmark = pytest.mark.slow
Command = Callable[..., Any]
Act = Callable[[Laboratory], object]
TWICE = [("promote", 1), ("promote", 2)]


@pytest.fixture
def third(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory with two versions promoted and a third prepared."""
    return prepared("third", lambda made: made.change(3), since="twice")


@pytest.fixture
def thrice(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory with three versions promoted."""
    return prepared("thrice", lambda made: made.change(3), Laboratory.promote, since="twice")


@pytest.fixture
def run(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`beampermit WORDS` in the workflow run of that number."""

    def within(laboratory: Laboratory, number: int, *words: str) -> Any:
        with monkeypatch.context() as patch:
            for name, value in {
                "SERVER_URL": "https://git.lab",
                "REPOSITORY": "lab/bpm",
                "RUN_ID": str(number),
            }.items():
                patch.setenv(f"GITHUB_{name}", value)
            return command(laboratory, *words)

    return within


def test_a_promotion_is_done_once_a_run(third: Laboratory, run: Command) -> None:
    (third.root / "permit.dsse.json").write_bytes(third.sign(tuple(load_interlocks())).content)
    for said in ("promoted: ", "already champion: "):
        found = run(third, 7, "promote")
        assert (found.code, found.err) == (0, "")
        assert found.out.startswith(f"{said}bpm-faults version 3, commit ")
        assert (third.events(), third.champion()) == ([*TWICE, ("promote", 3)], 3)


def test_a_rollback_goes_back_once_a_run(thrice: Laboratory, run: Command) -> None:
    events = [*TWICE, ("promote", 3)]
    again = "already champion (--to VERSION goes further back)"
    for number, said, version in ((7, "rolled back", 2), (7, again, 2), (8, "rolled back", 1)):
        found = run(thrice, number, "rollback", "--reason", "why")
        assert (found.code, found.err) == (0, "")
        assert found.out.startswith(f"{said}: bpm-faults version {version}, ")
        events += [("rollback", version)] if said == "rolled back" else []
        assert (thrice.events(), thrice.champion()) == (events, version)


def test_a_rollback_whose_output_was_lost_is_repeated_on_a_laptop(thrice: Laboratory, command: Command) -> None:
    """The same command with the same reason does not go back further; another reason does."""
    typed = ("rollback", "--reason", "it drifts")
    assert command(thrice, *typed).out.startswith("rolled back: bpm-faults version 2, ")
    again = command(thrice, *typed)
    assert (again.code, again.err) == (0, "")
    assert again.out.startswith("already champion (--to VERSION goes further back): bpm-faults version 2, ")
    assert thrice.events() == [*TWICE, ("promote", 3), ("rollback", 2)]
    assert command(thrice, "rollback", "--reason", "version 2 drifts as well").code == 0
    assert (thrice.events()[4:], thrice.champion()) == ([("rollback", 1)], 1)


CHANGED: dict[str, tuple[tuple[str, ...], Act, int | None]] = {
    # What the run did, what somebody did since, and the champion that is to stay.
    "a rollback, and then a promotion": (("rollback",), Laboratory.promote, 3),
    "a rollback to a version, and then another": (("rollback", "--to=1"), lambda lab: lab.rollback(to=2), 2),
    "a retirement, and then a promotion": (("retire",), Laboratory.promote, 3),
    "a retirement of a version that was brought back": (
        ("retire", "--version=1"),
        lambda lab: lab.rollback(to=1, retired=True),
        1,
    ),
    "a freeze, and then a thaw": (("freeze",), Laboratory.thaw, 2),
}


@pytest.mark.parametrize("case", CHANGED)
def test_changes_since_then_stay(third: Laboratory, run: Command, case: str) -> None:
    words, since, champion = CHANGED[case]
    assert run(third, 7, *words, "--reason", "why").code == 0
    since(third)
    before = third.events()
    again = run(third, 7, *words, "--reason", "why")
    assert again.code == 3
    assert "this workflow run did this already at " in again.err
    assert (
        "that was superseded since; the ledger was not changed\n      next: to do it again, start a new workflow run"
        in again.err
    )
    assert (third.events(), third.champion()) == (before, champion)
    assert run(third, 8, *words, "--reason", "why").code == 0
    assert third.events()[:-1] == before, "a new run may"


def test_a_thaw_does_not_thaw_a_later_freeze(third: Laboratory, run: Command) -> None:
    third.freeze()
    assert run(third, 7, "thaw", "--reason", "why").code == 0
    assert run(third, 7, "thaw", "--reason", "why").out.startswith("already thawed")
    third.freeze(reason="beam is coming")
    again = run(third, 7, "thaw", "--reason", "why")
    assert (again.code, "the ledger was not changed" in again.err) == (3, True)
    assert third.events()[-1] == ("freeze", 2)


def test_one_run_may_retire_a_former_version_and_the_champion(third: Laboratory, run: Command) -> None:
    assert run(third, 7, "retire", "--version=1", "--reason", "why").code == 0
    assert run(third, 7, "retire", "--reason", "why").code == 0
    assert (third.events()[2:], third.champion()) == ([("retire", 1), ("retire", 2)], None)
