"""A laboratory whose version can be served: its model is packaged with its contract, and its lock can be installed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

from beampermit.digest import digest_folder
from beampermit.environments import Environment
from beampermit.live.loop import Standing
from beampermit.live.promoted import Declared, Follower, Promoted, Promotions, Repository, Wanted, from_registry
from beampermit.registry import answering
from beampermit.registry.event import Event, Kind, provenance
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from support.registry_project import MODEL, WHY, Laboratory
from support.shared import shared_folder

LOCK = """\
version = 1
revision = 2
requires-python = ">=3.11"

[[package]]
name = "faults"
version = "1"
source = { virtual = "." }
"""
PYPROJECT = '[project]\nname = "faults"\nversion = "1"\nrequires-python = ">=3.11"\n'
OUTSIDE = ("origin.git", "mlartifacts", "mlflow.db")
DEVICES = "device,plane\nB1,X\nB2,Y\n"


def package(lab: Laboratory) -> None:
    """What a version needs to be served; the next change commits it."""
    contract = lab.root / "contract.yaml"
    contract.write_text(contract.read_text().replace("signals:\n", "signals:\n  devices: devices.csv\n", 1))
    (lab.root / "devices.csv").write_text(DEVICES)
    (lab.root / "pyproject.toml").write_text(PYPROJECT)
    (lab.root / "uv.lock").write_text(LOCK)
    (lab.root / "model/artifacts").mkdir()
    shutil.copy(contract, lab.root / "model/artifacts/contract.yaml")


IN_SERVICE = (package, lambda lab: lab.change(2), Laboratory.promote)
"""Version 1 is champion."""


@dataclass
class Followed:
    """A service that follows the ledger of a laboratory, and what it was told."""

    lab: Laboratory
    wanted: Wanted
    at: float = 0.0
    """Of its clock, in s."""
    champions: list[Promoted] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    declared: list[Declared] = field(default_factory=list)
    begun: list[tuple[int, bool]] = field(default_factory=list)
    """Versions whose environment was told of, and whether their bytes were here."""
    unused: int = 0
    """How many of them came to nothing."""
    follower: Follower = field(init=False)

    def __post_init__(self) -> None:
        self.promotions = Promotions(self.wanted)
        self.follower = Follower(
            self.promotions,
            lambda promoted, _: self.champions.append(promoted),
            self.standings.append,
            on_declared=self.declared.append,
            on_environment=self._begin,
            on_unused=self._forget,
            clock=lambda: self.at,
        )

    def _begin(self, declared: Declared, environment: Environment) -> None:
        assert environment.python.exists()
        folder = self.models / declared.statement.model_digest.removeprefix("sha256:")
        self.begun.append((declared.version, folder.exists()))

    def _forget(self) -> None:
        self.unused += 1

    def look(self, after: float = 0.0) -> Standing:
        """Look, wait for what that began, and look again, `after` so many s."""
        self.at += after
        self.follower.look()
        if self.follower.settle(60):
            self.follower.look()
        return self.follower.standing

    @property
    def version(self) -> int:
        """The version in service; 0 for none."""
        current = self.follower.current
        return current.version if current else 0

    def again(self) -> Followed:
        """The same service, started again."""
        self.promotions.close()
        return Followed(self.lab, self.wanted)

    @property
    def models(self) -> Path:
        return self.wanted.state / "models"

    def have_the_model(self) -> Path:
        """The saved model of the work tree as if it had been fetched: MLflow takes seconds to start."""
        model = self.lab.root / "model"
        return shutil.copytree(model, self.models / digest_folder(model).removeprefix("sha256:"))

    def promote(self, weight: float) -> None:
        """Another model is champion, by the ledger alone: MLflow would take a second."""
        self.lab.change(weight)
        signed = self.lab.sign()
        permit = signed.statement
        facts = {"digest": permit.model_digest, "permit": permit.digest, "commit": permit.predicate.commit}
        state = self._state()
        version = max(state.promoted) + 1
        self._append("promote", state.promoted[1], signed.content, version=version, **facts)

    def write(self, kind: Kind, version: int = 0, reason: str = WHY, **own: str) -> Event:
        """An event about a version, by default the one that was last put into service."""
        state = self._state()
        of = state.promoted[version] if version else state.last_in_service
        assert of is not None
        return self._append(kind, of, None, reason=reason, **own)

    @cached_property
    def _ledger(self) -> Ledger:
        """One, which knows what it has fetched."""
        return self.lab.ledger

    def _state(self) -> ModelState:
        self._ledger.fetch()
        return self._ledger.state(MODEL)

    def _append(self, kind: Kind, of: Event, envelope: bytes | None, reason: str = WHY, **facts: object) -> Event:
        """Onto what was fetched just now."""
        ledger = self._ledger
        expected, line = ledger.state(MODEL).champion_version, ledger.read(MODEL).length + 1
        told = {"event": kind, "sequence": line, "expected": expected, **provenance(ledger.git, reason), **facts}
        event = of.model_copy(update=told)
        ledger.append(event, permit=envelope)
        return event

    def lose_the_network(self, *names: str) -> None:
        """Neither ledger nor registry can be reached; with `names`, these of `OUTSIDE` alone."""
        for name in names or OUTSIDE:
            (self.lab.root.parent / name).rename(self.lab.root.parent / f"{name} away")

    def find_the_network(self) -> None:
        for away in self.lab.root.parent.glob("* away"):
            away.rename(away.with_name(away.name.removesuffix(" away")))


@pytest.fixture
def lab(
    prepared: Callable[..., Laboratory], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Laboratory:
    """Version 1 is champion, and can be served."""
    # The environment of the lock is installed by the first test that needs it.
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(shared_folder(tmp_path_factory) / "cache-of-the-service"))
    return prepared("served", *IN_SERVICE)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, lab: Laboratory) -> None:
    """The registry is asked here, where MLflow is imported already."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lab.uri)
    monkeypatch.setattr(from_registry, "_ask", lambda _, request: answering.answer(request))


@pytest.fixture
def wanted(lab: Laboratory) -> Wanted:
    return Wanted(MODEL, Repository.of_project(lab.project), lab.root.parent / "state", registry=lab.uri)


@pytest.fixture
def followed(lab: Laboratory, wanted: Wanted) -> Iterator[Followed]:
    """Nothing was looked at yet."""
    service = Followed(lab, wanted)
    yield service
    service.promotions.close()


@pytest.fixture
def serving(followed: Followed) -> Followed:
    """Version 1 is in service."""
    followed.have_the_model()
    followed.look()
    assert followed.version == 1, followed.follower.standing
    return followed
