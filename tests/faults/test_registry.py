"""The registry is down, hangs, returns wrong bytes or was changed by hand: the ledger counts, and the exit code
says whose fault it is."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.errors import BadInput, Conflict, Outside
from beampermit.registry import models
from beampermit.registry.mlflow import Registry
from beampermit.registry.reconcile import find_differences
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow


@pytest.fixture
def second(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory with two versions promoted."""
    return prepared("twice")


def test_an_alias_moved_by_hand_is_moved_back(second: Laboratory) -> None:
    second.registry.set_alias(MODEL, "champion", 1)
    assert second.reconcile() == ("alias champion moved from version 1 to version 2",)
    assert second.champion() == 2
    assert second.reconcile() == ()


def test_an_alias_deleted_by_hand_is_set_again(second: Laboratory) -> None:
    second.registry.delete_alias(MODEL, "champion")
    assert second.reconcile() == ("alias champion moved to version 2",)


def test_an_alias_of_a_missing_version_is_set_again(second: Laboratory) -> None:
    with closing(sqlite3.connect(second.root.parent / "mlflow.db")) as base, base:
        base.execute("UPDATE registered_model_aliases SET version = 99 WHERE alias = 'champion'")
    assert second.champion() is None
    assert second.reconcile() == ("alias champion moved to version 2",)
    assert second.champion() == 2


def test_an_alias_set_before_anything_was_promoted_is_removed(laboratory: Laboratory) -> None:
    run = laboratory.registry.store(MODEL, laboratory.root / "model", f"sha256:{'e' * 64}", {})
    laboratory.registry.create_version(MODEL, run)
    laboratory.registry.set_alias(MODEL, "champion", 1)
    assert laboratory.reconcile() == ("alias champion removed from version 1: no version was ever promoted",)
    assert laboratory.champion() is None


def test_a_champion_of_another_ledger_is_left_alone(second: Laboratory) -> None:
    """The ledger was lost, or another project promotes a model of the same name in the same registry."""
    second.git("push", "--quiet", "origin", ":refs/heads/beampermit-ledger")
    second.git("update-ref", "-d", "refs/remotes/origin/beampermit-ledger")
    second.change(3)
    for act in (second.reconcile, second.promote):
        with pytest.raises(Conflict, match="this ledger is empty: it was lost, or another project"):
            act()
    assert second.champion() == 2
    assert second.events() == []


def test_a_tag_changed_by_hand_is_fixed_after_the_bytes_are_verified(second: Laboratory) -> None:
    second.registry.tag(MODEL, 2, digest=f"sha256:{'0' * 64}")
    assert second.reconcile() == ("version 2: digest set from the ledger",)


def test_a_status_changed_by_hand_is_fixed(second: Laboratory) -> None:
    second.registry.tag(MODEL, 1, status="champion")
    assert second.reconcile() == ("version 1 tagged former",)


def test_an_alias_that_mlflow_reserves_is_refused(second: Laboratory) -> None:
    with pytest.raises(Outside, match=r"failed to move alias latest of bpm-faults: .*reserved"):
        second.registry.set_alias(MODEL, "latest", 1)


def test_a_promotion_checks_recent_versions_and_reconcile_all(second: Laboratory) -> None:
    second.change(3)
    second.promote()
    second.registry.tag(MODEL, 1, status="")
    second.change(4)
    looked = second.promote().changes
    assert looked == (
        "alias champion moved from version 3 to version 4",
        "version 3 tagged former",
        "version 4 tagged champion",
    )
    assert second.reconcile() == ("version 1 tagged former",)


def test_a_tag_that_is_no_line_makes_a_promotion_check_all(second: Laboratory) -> None:
    second.registry.tag(MODEL, 1, status="")
    second.registry.tag(MODEL, 2, sequence="9" * 400)
    second.change(3)
    assert "version 1 tagged former" in second.promote().changes


def test_a_tag_of_a_line_that_the_ledger_does_not_have_stops_a_promotion(second: Laboratory) -> None:
    second.registry.tag(MODEL, 2, sequence="7")
    second.change(3)
    with pytest.raises(Conflict, match="has shown line 7 of the ledger, which has 2: it was set back"):
        second.promote()
    assert second.statuses() == {1: "former", 2: "champion"}


def test_a_missing_version_is_exit_4(second: Laboratory) -> None:
    second.registry._client.delete_model_version(MODEL, "2")
    with pytest.raises(
        Outside, match=r"has no version 2 of bpm-faults, which was promoted at .* according to the ledger"
    ):
        second.reconcile()


def test_another_registry_with_the_same_numbers_is_refused(second: Laboratory, tmp_path: Path) -> None:
    _spoil(second, 2)
    second.registry.tag(MODEL, 2, digest=f"sha256:{'0' * 64}")
    with pytest.raises(Outside, match="holds other bytes for bpm-faults version 2"):
        second.reconcile()


def test_changed_bytes_in_the_registry_are_never_returned(second: Laboratory, tmp_path: Path) -> None:
    _spoil(second, 2)
    with pytest.raises(Outside, match="holds other bytes"):
        models.fetch_model(second.last(), tmp_path / "models", second.uri)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_rollback_to_changed_bytes_is_refused(second: Laboratory) -> None:
    _spoil(second, 1)
    with pytest.raises(Outside, match="holds other bytes"):
        second.rollback()
    assert second.events() == [("promote", 1), ("promote", 2)]
    assert second.champion() == 2


def test_a_model_is_fetched_once_and_again_when_the_cache_was_changed(second: Laboratory, tmp_path: Path) -> None:
    first = models.fetch_model(second.last(), tmp_path / "models", second.uri)
    assert first.name == second.last().digest.removeprefix("sha256:")
    assert models.fetch_model(second.last(), tmp_path / "models", "http://127.0.0.1:9") == first
    (first / "MLmodel").write_text("changed")
    assert (
        models.fetch_model(second.last(), tmp_path / "models", second.uri) / "MLmodel"
    ).read_text() == "flavors: {}\n"


@pytest.mark.attack(
    guard="dry-run",
    tried="compiled code is planted beside the champion in the registry's store",
    said="holds code/__pycache__/model.cpython-311.pyc in bpm-faults version 2: compiled code",
)
def test_compiled_code_planted_in_the_registry_is_not_given_out(second: Laboratory, tmp_path: Path, said: str) -> None:
    stored = _stored(second, 2) / "code/__pycache__"
    stored.mkdir(parents=True)
    (stored / "model.cpython-311.pyc").write_bytes(b"planted")
    with pytest.raises(Outside, match=re.escape(said)):
        models.fetch_model(second.last(), tmp_path / "models", second.uri)
    with pytest.raises(Outside, match=re.escape(said)):
        find_differences(second.ledger, second.registry, MODEL, lambda *_: None)
    shutil.rmtree(stored.parent)
    assert not list(models.fetch_model(second.last(), tmp_path / "models", second.uri).rglob("*.pyc"))


def test_of_two_versions_from_a_lost_reply_the_lowest_counts(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Registry.create_version

    def twice(self: Registry, model: str, run: str, **tags: str) -> None:
        create(self, model, run, **tags)
        create(self, model, run, **tags)

    monkeypatch.setattr(Registry, "create_version", twice)
    laboratory.promote()
    assert laboratory.statuses() == {1: "champion", 2: ""}
    assert laboratory.events() == [("promote", 1)]


def test_a_version_with_a_lost_reply_is_found_by_the_next_run(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Registry.create_version

    def lost(self: Registry, model: str, run: str, **tags: str) -> None:
        create(self, model, run, **tags)
        raise Outside("502 Bad Gateway")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "create_version", lost)
        with pytest.raises(Outside):
            laboratory.promote()
    assert (laboratory.events(), laboratory.champion()) == ([], None)
    laboratory.promote()
    assert laboratory.statuses() == {1: "champion"}


def test_a_version_that_is_deleted_at_once_is_not_promoted(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Registry.create_version

    def deleted(self: Registry, model: str, run: str, **tags: str) -> None:
        self._client.delete_model_version(model, str(create(self, model, run, **tags)))

    monkeypatch.setattr(Registry, "create_version", deleted)
    with pytest.raises(Conflict, match="the version that was just registered was deleted meanwhile") as caught:
        laboratory.promote()
    assert caught.value.hint == "beampermit promote"
    assert (laboratory.events(), laboratory.statuses()) == ([], {})


def test_a_hook_that_refuses_the_ledger_keeps_the_champion(second: Laboratory) -> None:
    hook = second.root.parent / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\ngrep -q beampermit-ledger && echo frozen >&2 && exit 1\nexit 0\n")
    hook.chmod(0o755)
    second.change(3)
    with pytest.raises(Outside, match="the ledger was not changed: remote: frozen"):
        second.promote()
    with pytest.raises(Outside, match="the ledger was not changed: remote: frozen"):
        second.rollback()
    assert second.champion() == 2
    assert second.statuses() == {1: "former", 2: "champion", 3: ""}
    hook.unlink()
    second.promote()
    assert second.statuses() == {1: "former", 2: "former", 3: "champion"}


def test_a_registry_that_is_down_is_exit_4_soon(second: Laboratory) -> None:
    start = time.monotonic()
    with pytest.raises(Outside, match="Connection refused") as caught:
        Laboratory(second.root, second.key, "http://ada:secret@127.0.0.1:9").rollback()
    assert time.monotonic() - start < 60
    assert "secret" not in str(caught.value)
    assert second.events() == [("promote", 1), ("promote", 2)]


def test_a_corrupted_line_is_named_by_the_command(second: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    _corrupt(second)
    with pytest.raises(BadInput) as caught:
        second.rollback()
    assert str(caught.value).startswith("ledger.jsonl:2: ")
    assert caught.value.exit_code == 2
    assert CliRunner().invoke(app, ["history", "--project", str(second.root)]).exit_code


def _stored(laboratory: Laboratory, version: int) -> Path:
    run = laboratory.registry.version(MODEL, version).run  # pyright: ignore[reportOptionalMemberAccess]
    return next((laboratory.root.parent / "mlartifacts").glob(f"{run}/artifacts/model"))


def _spoil(laboratory: Laboratory, version: int) -> None:
    (_stored(laboratory, version) / "weights.safetensors").write_bytes(b"other")


def _corrupt(laboratory: Laboratory) -> None:
    """Somebody edits the ledger by hand and pushes it, on top of what was there."""
    git: Callable[..., str] = laboratory.git
    git("fetch", "--quiet", "origin")
    git("switch", "--quiet", "--detach", "origin/beampermit-ledger")
    file = laboratory.root / "ledger.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], lines[1].replace('"version": 2', '"version": "two"')]) + "\n")
    git("commit", "--quiet", "--message", "by hand", "--", "ledger.jsonl")
    git("push", "--quiet", "origin", "HEAD:refs/heads/beampermit-ledger")
    git("switch", "--quiet", "main")
