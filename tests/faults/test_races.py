"""Of two promotions at once exactly one wins; the other ends with exit code 3, and an older commit never wins late."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from beampermit.errors import BadInput, Conflict
from beampermit.registry.event import Event
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow

Race = Callable[..., list[int]]


@pytest.fixture
def laboratory(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory whose first version is champion."""
    return prepared("once")


@pytest.fixture
def colleague(laboratory: Laboratory) -> Laboratory:
    """Another clone, made after the first promotion, with the same model in its work tree."""
    clone = laboratory.root.parent / "colleague"
    subprocess.run(["git", "clone", "--quiet", laboratory.root.parent / "origin.git", clone], check=True)
    shutil.copytree(laboratory.root / "model", clone / "model")
    return Laboratory(clone, laboratory.key, laboratory.uri)


def test_two_commits_at_once(laboratory: Laboratory, colleague: Laboratory, race: Race) -> None:
    laboratory.change(2)
    colleague.git("switch", "--quiet", "--create", "another")
    (colleague.root / "notes.txt").write_text("another line of work\n")
    colleague.git("add", "notes.txt")
    colleague.git("commit", "--quiet", "--message", "Another line of work")
    codes = race(laboratory.promote, colleague.promote, step="append to the ledger")
    assert sorted(codes) == [0, 3]
    winner = laboratory.last()
    assert laboratory.events() == [("promote", 1), ("promote", winner.version)]
    assert laboratory.champion() == winner.version
    assert winner.commit == (laboratory, colleague)[codes.index(0)].project.git.head()


def test_the_same_commit_at_once(laboratory: Laboratory, colleague: Laboratory, race: Race) -> None:
    laboratory.change(2)
    colleague.git("pull", "--quiet")
    shutil.copytree(laboratory.root / "model", colleague.root / "model", dirs_exist_ok=True)
    signed = laboratory.sign()
    codes = race(
        lambda progress: laboratory.promote(progress, signed),
        lambda progress: colleague.promote(progress, signed),
        step="append to the ledger",
    )
    assert sorted(codes) == [0, 3]
    assert len(laboratory.events()) == 2
    assert laboratory.champion() == laboratory.last().version
    again = (laboratory, colleague)[codes.index(3)].promote(signed=signed)
    assert not again.new


@pytest.mark.parametrize("same", [True, False])
def test_ten_races_have_one_winner_each(laboratory: Laboratory, colleague: Laboratory, race: Race, same: bool) -> None:
    """Only the step that decides: three at once, five times, with the same event or each with its own."""
    clones = (laboratory, colleague, laboratory)
    last = laboratory.last()
    for sequence in range(2, 7):
        events = [_next(last, sequence, 0 if same else place) for place in range(len(clones))]
        codes = race(
            *(partial(_append, clone, event) for clone, event in zip(clones, events, strict=True)), step="append"
        )
        assert sorted(codes) == [0, 3, 3]
        ledger = laboratory.ledger
        ledger.fetch()
        found, winner = ledger.events(), events[codes.index(0)]
        assert len(found) == sequence
        last = found[-1]
        assert (last.version, last.by) == (winner.version, winner.by)


def _next(last: Event, sequence: int, place: int) -> Event:
    changes = {
        "sequence": sequence,
        "version": last.version + 1 + place,
        "expected": last.version,
        "by": f"run {place}",
    }
    return last.model_copy(update={"event": "promote", **changes})


def _append(clone: Laboratory, event: Event, progress: Callable[[str], None]) -> None:
    ledger = clone.ledger
    ledger.fetch()
    progress("append")
    ledger.append(event)


def test_a_reconcile_during_a_rollback_keeps_the_newer_champion(laboratory: Laboratory) -> None:
    """It was about to set an outdated alias: an alias has no compare-and-swap."""
    laboratory.change(2)
    laboratory.promote()
    laboratory.registry.set_alias(MODEL, "champion", 1)
    overtaken: list[str] = []

    def overtake(step: str) -> None:
        if step == "move alias champion" and not overtaken:
            overtaken.append(step)
            laboratory.rollback()

    laboratory.reconcile(overtake)
    assert overtaken
    assert (laboratory.champion(), laboratory.statuses()) == (1, {1: "champion", 2: "former"})
    assert laboratory.events()[-1] == ("rollback", 1)
    assert laboratory.reconcile() == ()


def test_an_older_commit_that_finishes_late_is_refused(laboratory: Laboratory, colleague: Laboratory) -> None:
    laboratory.change(2)
    colleague.git("pull", "--quiet")
    shutil.copytree(laboratory.root / "model", colleague.root / "model", dirs_exist_ok=True)
    laboratory.change(3)
    laboratory.promote()
    with pytest.raises(Conflict, match=r"is older than .*, which version 2 was promoted from|does not contain"):
        colleague.promote()
    assert laboratory.champion() == 2
    assert laboratory.events() == [("promote", 1), ("promote", 2)]


def test_an_older_commit_is_refused_after_a_rollback_too(laboratory: Laboratory, colleague: Laboratory) -> None:
    laboratory.change(2)
    colleague.git("pull", "--quiet")
    shutil.copytree(laboratory.root / "model", colleague.root / "model", dirs_exist_ok=True)
    laboratory.change(3)
    laboratory.promote()
    laboratory.rollback()
    with pytest.raises(Conflict, match="is older than"):
        colleague.promote()


def test_a_release_that_is_run_again_does_not_undo_a_rollback(laboratory: Laboratory) -> None:
    laboratory.change(2)
    signed = laboratory.sign()
    laboratory.promote(signed=signed)
    laboratory.rollback()
    with pytest.raises(Conflict, match="is not champion any more") as caught:
        laboratory.promote(signed=signed)
    assert caught.value.hint == "beampermit rollback --to 2 --reason WHY"
    assert laboratory.champion() == 1
    laboratory.rollback(to=2, reason="it was the sensor")
    assert laboratory.champion() == 2


def test_a_clone_that_is_too_shallow_is_reported(laboratory: Laboratory, tmp_path: Path) -> None:
    laboratory.change(2)
    laboratory.change(3)
    clone = tmp_path / "shallow"
    origin = (laboratory.root.parent / "origin.git").as_uri()
    subprocess.run(["git", "clone", "--quiet", "--depth=1", origin, clone], check=True)
    shutil.copytree(laboratory.root / "model", clone / "model")
    with pytest.raises(BadInput, match="shallow") as caught:
        Laboratory(clone, laboratory.key, laboratory.uri).promote()
    assert caught.value.hint == "git fetch --unshallow origin"
