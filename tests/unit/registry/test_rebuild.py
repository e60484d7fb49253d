"""What a rebuild believes, and what a promotion takes into service: nothing that only the ledger's branch says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.digest import digest_bytes, digest_folder
from beampermit.errors import Conflict, Failed, Outside
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.registry import models
from beampermit.registry.event import Event
from beampermit.registry.models import fetch_from_dvc
from beampermit.registry.rebuild import rebuild
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow
FORGED = {"event": "promote", "expected": 2, "permit": digest_bytes(b"none"), "by": "Mallory"}


@pytest.fixture
def second(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Two versions promoted."""
    return prepared("twice")


def rebuilt(lab: Laboratory) -> tuple[str, ...]:
    """`rebuild` alone, without the `reconcile` that follows it in the command."""

    def recover(event: Event, into: Path) -> Path:
        lab.model(event.version)
        return Path(shutil.copytree(lab.root / "model", into / "model"))

    return rebuild(lab.ledger, lab.registry, MODEL, recover, silent)


@pytest.mark.attack(
    guard="reconcile",
    tried="the registry is lost, and a forged line would make the rebuild register a model that no permit is for",
    said="version 3 of bpm-faults is not believed",
)
def test_a_rebuild_registers_only_what_is_signed(second: Laboratory, database: Path, said: str) -> None:
    own = second.last()
    second.retire(version=1)  # the ledger has the address of this copy
    second.forge(own.model_copy(update={**FORGED, "version": 3, "sequence": 4, "registry": "", "address": ""}))
    second.lose_the_registry(database)
    with pytest.raises(Failed, match=said):
        rebuilt(second)
    assert sorted(second.statuses()) == [1, 2]
    back = {"event": "rollback", "sequence": 5, "expected": 3, "registry": "", "address": ""}
    second.forge(own.model_copy(update=back))
    (line,) = rebuilt(second)
    assert line.startswith(f"version 3 registered without a model to keep its number: {said}")
    second.reconcile()
    assert (second.champion(), second.statuses()) == (2, {1: "retired", 2: "champion", 3: "not believed"})


@pytest.mark.attack(
    guard="reconcile",
    tried="the ledger is set back, and a rebuild by a fresh clone would go on from there",
    said="the registry has shown line 2 of the ledger, which has 1: it was set back",
)
def test_a_rebuild_from_a_ledger_that_was_set_back_is_refused(second: Laboratory, said: str) -> None:
    second.forge(back=1, cut=1)
    second.forge(back=1)
    with pytest.raises(Conflict, match=said):
        rebuilt(second.fresh_clone())


@pytest.mark.attack(
    guard="reconcile",
    tried="at the address of the lost registry there is one that belongs to another laboratory",
    said="is not the registry of this ledger",
)
def test_another_registry_at_the_same_address_is_not_filled(second: Laboratory, database: Path, said: str) -> None:
    second.retire(version=1)  # the ledger has the address of this copy
    second.lose_the_registry(database)
    second.registry.identify(MODEL, "6" * 8)
    with pytest.raises(Conflict, match=said):
        rebuilt(second)
    assert second.statuses() == {}


@pytest.mark.parametrize(("gone", "left"), [(1, [2]), (2, [1, 3])])
def test_another_number_than_the_ledger_has_is_said(second: Laboratory, gone: int, left: list[int]) -> None:
    """Before anything is registered, where MLflow's numbers tell; else at the first."""
    second.registry._client.delete_model_version(MODEL, str(gone))
    with pytest.raises(Conflict, match="MLflow does not reuse numbers: the next is 3"):
        rebuilt(second)
    assert sorted(second.statuses()) == left


@pytest.mark.attack(
    guard="reconcile",
    tried="the remote has other bytes for a lost version, under the hashes of the commit",
    said="the DVC remote holds other bytes for version 2 of bpm-faults than the permit binds",
)
def test_other_bytes_on_the_remote_are_not_registered(
    second: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    event, weights = second.last(), [2]

    def pull(tree: Path, _: list[str]) -> None:
        shutil.copytree(second.model(weights[0]), tree / "model")

    monkeypatch.setattr(models, "Repository", lambda project, home: project.root)
    monkeypatch.setattr(models, "pull", pull)
    for name in ("same", "other", "gone"):
        (tmp_path / name).mkdir()
    assert digest_folder(fetch_from_dvc(second.project, event, tmp_path / "same")) == event.digest
    weights[0] = 666
    with pytest.raises(Outside, match=said):
        fetch_from_dvc(second.project, event, tmp_path / "other")
    gone = event.model_copy(update={"commit": "6" * 40})
    with pytest.raises(Outside, match="was promoted from commit 666666666666, which origin no longer has"):
        fetch_from_dvc(second.project, gone, tmp_path / "gone")


def test_what_the_dvc_remote_cannot_give_is_named_with_its_version(
    project: Project, event: Callable[..., Event], tmp_path: Path
) -> None:
    """The project of the commit has no DVC."""
    said = "version 1 of bpm-faults cannot be fetched from the DVC remote: you are not inside of a DVC repository"
    with pytest.raises(Outside, match=said) as caught:
        fetch_from_dvc(project, event(commit=project.git.head()), tmp_path)
    assert caught.value.hint == "beampermit data check"
    assert not (tmp_path / "model").exists()


@pytest.mark.attack(
    guard="promote",
    tried="the bytes of the version are replaced in the registry between their upload and the test deployment",
    said="holds other bytes for bpm-faults version 3 than the permit binds",
)
def test_what_is_deployed_is_what_the_registry_gives_out(second: Laboratory, said: str) -> None:
    second.change(3)

    def swap(step: str) -> None:
        if step == "test the deployment":
            stored = second.registry.version(MODEL, 3)
            assert stored is not None
            folder = second.root.parent / "mlartifacts"
            (file,) = folder.glob(f"{stored.run}/artifacts/model/weights.safetensors")
            shutil.copy(second.model(2) / "weights.safetensors", file)

    with pytest.raises(Outside, match=said):
        second.promote(swap)
    assert (second.champion(), len(second.events())) == (2, 2)


def test_a_promotion_waits_until_a_lost_version_is_back(second: Laboratory) -> None:
    second.registry._client.delete_model_version(MODEL, "2")
    second.change(3)
    with pytest.raises(Outside, match="has no version 2 of bpm-faults") as refused:
        second.promote()
    assert refused.value.hint == "beampermit reconcile --rebuild"
    assert (sorted(second.statuses()), len(second.events())) == ([1], 2)


def test_forged_lines_stop_no_later_promotion(second: Laboratory) -> None:
    """They promote the next commit, and one after it, so that nothing would be newer."""
    own = second.last()
    third = second.change(3)
    digest = digest_folder(second.root / "model")
    fourth = second.change(4)
    forged = own.model_copy(update={**FORGED, "version": 30, "sequence": 3, "commit": third, "digest": digest})
    later = forged.model_copy(update={"version": 31, "sequence": 4, "expected": 30, "commit": fourth})
    second.forge(forged, later)
    second.git("checkout", "--quiet", third)
    second.model(3)
    result = second.promote()
    assert (result.event.version, result.event.commit) == (3, third)
    assert second.champion() == 3
