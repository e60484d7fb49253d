"""Freeze keeps new versions out and the way back open; retire takes a version out of service for good."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from beampermit.errors import BadInput, Conflict, Failed, Outside
from beampermit.registry.mlflow import Registry
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow


@pytest.fixture
def frozen(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Two versions promoted, a third prepared, and a freeze."""
    return prepared(
        "frozen",
        lambda made: made.change(3),
        lambda made: made.freeze(reason="physics run until Friday"),
        since="twice",
    )


@pytest.fixture
def once(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A version promoted."""
    return prepared("once")


def test_a_frozen_promotion_is_refused_with_who_and_why(frozen: Laboratory) -> None:
    with pytest.raises(
        Conflict, match=r"frozen since \S+Z by Ada .*: physics run until Friday; the ledger was not changed"
    ) as no:
        frozen.promote()
    assert (no.value.exit_code, no.value.hint) == (3, "beampermit thaw --reason WHY")
    assert frozen.registry.state(MODEL) == "in service, frozen"
    assert frozen.statuses() == {1: "former", 2: "champion"}, "nothing is registered either"
    frozen.thaw()
    frozen.promote()
    assert frozen.champion() == 3


def test_rollback_and_retire_stay_possible(frozen: Laboratory) -> None:
    frozen.rollback()
    assert frozen.champion() == 1
    frozen.retire()
    assert frozen.champion() is None
    assert frozen.registry.state(MODEL) == "out of service, frozen"
    with pytest.raises(Conflict, match="are frozen since"):
        frozen.promote()


def test_promoting_the_champion_again_changes_nothing(frozen: Laboratory) -> None:
    frozen.git("checkout", "--quiet", "HEAD~1")
    frozen.model(2)
    assert not frozen.promote().new


def test_a_second_freeze_reports_the_first(frozen: Laboratory) -> None:
    found = frozen.freeze(reason="another reason")
    assert (found.new, found.event.reason) == (False, "physics run until Friday")
    assert [kind for kind, _ in frozen.events()].count("freeze") == 1


def test_a_freeze_while_a_promotion_tests_its_deployment_wins(once: Laboratory) -> None:
    once.change(2)

    def freeze_meanwhile(step: str) -> None:
        if step == "test the deployment":
            once.freeze(reason="beam is coming")

    with pytest.raises(Conflict, match="somebody else was first: freeze bpm-faults"):
        once.promote(freeze_meanwhile)
    assert once.champion() == 1
    assert once.events() == [("promote", 1), ("freeze", 1)]


def test_of_two_freezes_the_second_is_a_conflict_also_where_the_registry_has_shown_the_first(
    once: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is fetched again where the registry is ahead of it."""
    tags, asked = Registry.tags, list[str]()

    def overtaken(self: Registry, model: str) -> Mapping[str, str]:
        if not asked:
            asked.append(model)
            once.freeze(reason="beam is coming")
        return tags(self, model)

    monkeypatch.setattr(Registry, "tags", overtaken)
    with pytest.raises(Conflict, match="somebody else was first: freeze bpm-faults"):
        once.freeze()
    assert once.events() == [("promote", 1), ("freeze", 1)]


def test_thaw_is_for_what_is_frozen(once: Laboratory) -> None:
    with pytest.raises(BadInput, match="bpm-faults was never frozen"):
        once.thaw()


@pytest.fixture
def two(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Two versions promoted, the second is champion."""
    return prepared("twice")


def test_a_retired_champion_has_no_successor(two: Laboratory) -> None:
    found = two.retire(reason="the monitors were replaced")
    assert (found.event.version, found.event.expected, found.event.reason) == (2, 2, "the monitors were replaced")
    assert found.changes == (
        "version 2 tagged retired",
        "model tagged out of service",
        "alias champion removed from version 2: the model is out of service",
    )
    assert two.champion() is None
    again = two.retire()
    assert (again.new, again.event, again.changes) == (False, found.event, ())


def test_a_rollback_skips_retired_versions_unless_asked(two: Laboratory) -> None:
    two.retire(reason="it drifts")
    with pytest.raises(BadInput, match=r"version 2 of bpm-faults was retired at .* by .*: it drifts") as caught:
        two.rollback(to=2)
    assert caught.value.hint == "beampermit rollback --to 2 --retired --reason WHY"
    two.rollback()
    assert two.statuses() == {1: "champion", 2: "retired"}
    two.rollback(to=2, retired=True, reason="it was the sensor")
    assert two.statuses() == {1: "former", 2: "champion"}
    assert two.events()[2:] == [("retire", 2), ("rollback", 1), ("rollback", 2)]


def test_a_retired_former_version_is_no_rollback_target(two: Laboratory) -> None:
    two.retire(version=1)
    assert (two.champion(), two.statuses()) == (2, {1: "retired", 2: "champion"})
    with pytest.raises(BadInput, match="has no version before 2 to roll back to"):
        two.rollback()


def test_a_commit_older_than_a_retired_version_is_not_promoted(two: Laboratory) -> None:
    first, second = two.git("rev-parse", "HEAD~1"), two.sign()
    two.retire()
    with pytest.raises(Conflict, match="is not champion any more") as caught:
        two.promote(signed=second)
    assert "--to 2 --retired" in caught.value.hint
    two.git("switch", "--quiet", "--create", "old", first)
    two.git("commit", "--quiet", "--allow-empty", "--message", "Beside")
    two.model(1)
    with pytest.raises(Conflict, match="the commit of retired version 2"):
        two.promote()
    two.git("switch", "--quiet", "main")
    two.change(3)
    two.promote()
    assert two.statuses() == {1: "former", 2: "retired", 3: "champion"}
    assert two.last().expected is None


@pytest.mark.parametrize("version", [7, None])
def test_a_version_that_was_never_promoted_cannot_be_retired(laboratory: Laboratory, version: int | None) -> None:
    with pytest.raises(BadInput, match="no version of bpm-faults was ever promoted"):
        laboratory.retire(version=version)
    laboratory.promote()
    with pytest.raises(BadInput, match="version 7 was never champion; these were: 1"):
        laboratory.retire(version=7)


def test_a_reason_must_be_given(two: Laboratory) -> None:
    with pytest.raises(BadInput, match="a reason is required"):
        two.retire(reason=" ")
    assert len(two.events()) == 2


def test_an_identity_that_may_not_delete_an_alias(two: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tags say retired, exit code 4 says that the alias is still there, and another identity can finish."""

    def refuse(self: Registry, model: str, alias: str) -> None:
        raise Outside("the registry failed to remove alias champion of bpm-faults: PERMISSION_DENIED")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "delete_alias", refuse)
        with pytest.raises(
            Outside, match=r"the ledger was updated \(retire bpm-faults version 2\).*PERMISSION_DENIED"
        ) as no:
            two.retire()
    assert no.value.hint == "beampermit reconcile"
    assert two.statuses() == {1: "former", 2: "retired"}
    assert two.registry.state(MODEL) == "out of service"
    assert two.reconcile() == ("alias champion removed from version 2: the model is out of service",)


@pytest.mark.parametrize("gone", ["model", "model/weights.safetensors"])
def test_a_promotion_says_what_the_remote_lacks_and_advises_no_pull(
    laboratory: Laboratory, tmp_path: Path, gone: str
) -> None:
    root, storage = laboratory.root, tmp_path / "storage"
    storage.mkdir()
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {storage}\n")
    (root / "dvc.yaml").write_text('stages: {train: {cmd: "true", outs: [model]}}\n')
    out = f"{{path: model, hash: md5, md5: {'a' * 32}.dir}}"
    (root / "dvc.lock").write_text(f'schema: "2.0"\nstages: {{train: {{cmd: "true", outs: [{out}]}}}}\n')
    laboratory.git("add", "--all")
    laboratory.git("commit", "--quiet", "--message", "DVC")
    laboratory.git("push", "--quiet", "origin", "main")
    signed, place = laboratory.sign(), root / gone
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    with pytest.raises(Failed, match="storage, which is empty: nothing was pushed to it yet") as caught:
        laboratory.promote(signed=signed)
    assert caught.value.hint == "run `dvc push` on the machine that made them"
    assert laboratory.events() == []
