"""A lost MLflow is rebuilt from ledger and bytes, with the version numbers of the ledger."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.digest import digest_folder, manifest
from beampermit.errors import Conflict, Outside
from beampermit.project import Project
from beampermit.registry import models
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.mlflow import Registry
from beampermit.registry.rebuild import FetchModel
from support.registry_project import MODEL, Laboratory, append_promotion, laboratory_in, link_to

pytestmark = pytest.mark.slow
STEPS = (
    "fetch the bytes of a lost version",
    "register a lost version",
    "register an empty version to keep its number",
)


@pytest.fixture
def fourth(prepared: Callable[..., Laboratory], tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """Versions 1, 2 and 4 were promoted, 3 only registered; 2 is champion again, 1 is retired."""
    links = tmp_path_factory.getbasetemp()

    def steps(made: Laboratory) -> None:
        run = made.registry.store(MODEL, made.root / "model", "another", {})
        made.registry.create_version(MODEL, run)
        time.sleep(1)  # events have whole seconds, and are to be later than the run
        made.change(4)
        made.promote()
        made.rollback()

    def retire(made: Laboratory) -> None:
        # At the address of the copies, so that the ledger has it.
        folder = made.root.parent
        laboratory_in(folder, link_to(folder, links / "registry")).retire(version=1)

    return prepared(f"fourth-{links.name}", steps, retire, since="twice")


@pytest.fixture
def recover(fourth: Laboratory) -> FetchModel:
    """In place of DVC: writes the model of a version again."""

    def bring(event: Event, into: Path) -> Path:
        fourth.model(event.version)
        return Path(shutil.copytree(fourth.root / "model", into / "model"))

    return bring


def _is_whole(laboratory: Laboratory, folder: Path) -> None:
    assert laboratory.statuses() == {1: "retired", 2: "champion", 3: "", 4: "former"}
    assert laboratory.champion() == 2
    ledger = laboratory.ledger
    for event in ledger.state(MODEL).promoted.values():
        assert digest_folder(models.fetch_model(event, folder, laboratory.uri)) == event.digest
    assert laboratory.reconcile() == ()


def test_each_version_comes_back_under_its_number(
    fourth: Laboratory, recover: FetchModel, database: Path, tmp_path: Path
) -> None:
    fourth.lose_the_registry(database)
    with pytest.raises(Outside, match="has lost bpm-faults") as no:
        fourth.reconcile()
    assert no.value.hint == "beampermit reconcile --rebuild"
    fourth.said.clear()
    found = fourth.rebuild(recover)
    assert [line.partition(",")[0] for line in found[:4]] == [
        "version 1 registered again",
        "version 2 registered again",
        "version 3 registered without a model to keep its number: it was never promoted",
        "version 4 registered again",
    ]
    assert set(STEPS) < set(fourth.said), "each of its own steps is killed below"
    _is_whole(fourth, tmp_path / "models")
    assert fourth.rebuild(recover) == ()
    fourth.change(5)
    fourth.promote()
    assert fourth.champion() == 5


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_rebuild_is_finished_by_the_next_run(
    fourth: Laboratory, recover: FetchModel, database: Path, tmp_path: Path, kill: Callable[..., None], step: str
) -> None:
    fourth.lose_the_registry(database)
    kill(lambda progress: fourth.rebuild(recover, progress), step)
    fourth.rebuild(recover)
    _is_whole(fourth, tmp_path / "models")


def test_a_promotion_into_a_registry_that_lost_its_versions_is_refused(fourth: Laboratory, database: Path) -> None:
    """Otherwise a number would be assigned twice."""
    fourth.lose_the_registry(database)
    fourth.change(5)
    with pytest.raises(Outside, match="has lost bpm-faults") as no:
        fourth.promote()
    assert no.value.hint == "beampermit reconcile --rebuild"
    assert fourth.statuses() == {}


def test_a_deleted_number_is_not_reused(fourth: Laboratory, recover: FetchModel, tmp_path: Path) -> None:
    fourth.registry._client.delete_model_version(MODEL, "2")
    with pytest.raises(Conflict, match="MLflow does not reuse numbers: the next is 5") as no:
        fourth.rebuild(recover)
    assert "delete the registered model bpm-faults" in no.value.hint
    fourth.registry._client.delete_registered_model(MODEL)
    fourth.rebuild(recover)
    _is_whole(fourth, tmp_path / "models")


def test_a_former_champion_without_bytes_keeps_its_number(
    fourth: Laboratory, recover: FetchModel, database: Path
) -> None:
    def without(version: int) -> FetchModel:
        def bring(event: Event, into: Path) -> Path:
            if event.version == version:
                raise Outside("the bytes are gone")
            return recover(event, into)

        return bring

    fourth.lose_the_registry(database)
    with pytest.raises(Outside, match="the bytes are gone"):
        fourth.rebuild(without(2))
    assert fourth.champion() is None, "no wrong champion"
    found = fourth.rebuild(without(4))
    assert "version 4 registered without a model to keep its number: the bytes are gone" in found
    assert fourth.champion() == 2
    with pytest.raises(Outside, match="holds other bytes for bpm-faults version 4"):
        fourth.rollback(to=4)


def test_a_whole_project_is_rebuilt_from_its_dvc_remote(
    trained_copy: Project, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real bytes, real DVC: the model is gone from work tree, cache and MLflow."""
    uri = f"sqlite:///{shutil.copy(database, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    model = trained_copy.contract.model
    digest = digest_folder(trained_copy.path(model.path))
    promoted = Event(
        event="promote", sequence=1, model=model.name, version=1, digest=digest, permit=f"sha256:{'b' * 64}",
        commit=trained_copy.git.head(), expected=None, at="2026-11-23T08:00:00Z", by="Ada",
    )  # fmt: skip
    promoted = append_promotion(Ledger(trained_copy.git), promoted, manifest(trained_copy.path(model.path)))
    shutil.rmtree(trained_copy.path(model.path))
    shutil.rmtree(trained_copy.root / ".dvc/cache")
    (trained_copy.root / "README.md").write_text("Work that is not committed.\n")
    before = trained_copy.git("status", "--porcelain")
    asked = CliRunner().invoke(app, ["reconcile", "--rebuild", "--json", "--project", str(trained_copy.root)])
    assert asked.exit_code == 0, asked.exception
    assert json.loads(asked.stdout)["champion"] == 1
    assert Registry(uri).alias(model.name, "champion") == 1
    assert digest_folder(models.fetch_model(promoted, tmp_path / "models", uri)) == digest
    assert trained_copy.git("status", "--porcelain") == before
    assert len(trained_copy.git("worktree", "list").splitlines()) == 1
