"""A process that waits for its model belongs to one version, and is never left over."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from beampermit.environments.environment import STAMP, Environment, shared_environments
from beampermit.environments.uv import Uv
from beampermit.live.process import ahead as ahead_module
from beampermit.live.process import starting
from beampermit.live.process.ahead import FILE, Ahead, keep_start, started_ahead
from beampermit.live.process.early import EarlyProcess
from beampermit.live.process.model_process import ModelProcess
from beampermit.live.process.starting import Start
from beampermit.project import Project
from support.planted_models import THIS_ENVIRONMENT
from support.planted_processes import SPEAKS, asked_contract, runs, wait_for
from support.promoted_project import LOCK, PYPROJECT


def version(number: int, contract_text: str, permit: str = "") -> Any:
    statement = SimpleNamespace(digest=permit or f"sha256:{number}")
    contract = asked_contract(contract_text)
    return SimpleNamespace(version=number, statement=statement, contract=contract, environment=THIS_ENVIRONMENT)


def begun(early: EarlyProcess, of: Any) -> ModelProcess:
    early.begin(of, THIS_ENVIRONMENT)
    process = early._process
    assert process is not None
    wait_for(lambda: process._loading is not None)
    return process


def process_id(process: ModelProcess) -> int:
    assert process._loading is not None
    return process._loading.process_id


@pytest.mark.slow
def test_a_process_is_given_to_its_version_alone_and_ends_where_nobody_takes_it(
    contract_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(SPEAKS.replace("BEFORE", "").replace("ASKED", "pass"))
    monkeypatch.setattr(starting, "WORKER", script)
    early, first, second = EarlyProcess(), version(1, contract_text), version(2, contract_text)
    replaced, taken = begun(early, first), begun(early, second)
    assert replaced.closed
    for other in (first, version(2, contract_text, permit="sha256:another")):
        assert early.take(other) is None
    assert early.take(second) is taken
    assert early.take(second) is None, "it is given once"
    ready: list[int] = []
    taken.load(tmp_path, on_ready=lambda: ready.append(1))
    wait_for(lambda: bool(ready))
    early.close()
    assert not taken.closed, "whoever took it closes it"
    taken.close()

    early = EarlyProcess()
    left = begun(early, first)
    number = process_id(left)
    early.end()
    assert not runs(number)
    left = begun(early, first)
    number = process_id(left)
    early.close()
    assert not runs(number)
    early.begin(first, THIS_ENVIRONMENT)
    assert early._process is None, "the service ends"


@pytest.fixture
def left(contract_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a service that has ended."""
    script = tmp_path / "worker.py"
    script.write_text(SPEAKS.replace("BEFORE", "").replace("ASKED", "pass"))
    monkeypatch.setattr(starting, "WORKER", script)
    monkeypatch.setenv("BEAMPERMIT_ENVIRONMENT", str(THIS_ENVIRONMENT.prefix))
    keep_start(tmp_path, Start.of(THIS_ENVIRONMENT, asked_contract(contract_text)))
    return tmp_path


def process_of(ahead: Ahead) -> int:
    assert ahead._started is not None
    return ahead._started.process.pid


@pytest.mark.slow
def test_the_process_started_ahead_is_the_one_that_loads_the_model(left: Path, contract_text: str) -> None:
    with started_ahead(left) as ahead:
        number, early, first = process_of(ahead), EarlyProcess(ahead), version(1, contract_text)
        begun(early, first)
        taken = early.take(first)
        assert taken is not None
        assert process_id(taken) == number
        ready: list[int] = []
        taken.load(left, on_ready=lambda: ready.append(1))
        wait_for(lambda: bool(ready))
        taken.close()
        assert not runs(number)


@pytest.mark.slow
def test_a_process_started_ahead_ends_where_the_version_needs_another_or_none(left: Path, contract_text: str) -> None:
    with started_ahead(left) as ahead:
        number, early = process_of(ahead), EarlyProcess(ahead)
        other = version(1, contract_text)
        sees_gpu = other.contract.environment.model_copy(update={"accelerators": ("cuda", "cpu")})
        other.contract = other.contract.model_copy(update={"environment": sees_gpu})
        assert process_id(begun(early, other)) != number
        assert not runs(number)
        early.close()
    for leave in (EarlyProcess.end, EarlyProcess.close, lambda early: early.take(version(1, contract_text))):
        with started_ahead(left) as ahead:
            number = process_of(ahead)
            leave(EarlyProcess(ahead))
            assert not runs(number)
    with started_ahead(left) as ahead:
        number = process_of(ahead)
    assert not runs(number), "the service ended before it knew of any version"


def test_nothing_is_started_ahead_in_an_environment_that_we_did_not_install(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch may bring the file, with a Python of its own."""
    monkeypatch.delenv("BEAMPERMIT_ENVIRONMENT")
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(left / "cache"))
    with started_ahead(left) as ahead:
        assert ahead._started is None
    prefix = shared_environments() / "0123456789abcdef"
    prefix.parent.mkdir()
    prefix.symlink_to(THIS_ENVIRONMENT.prefix)
    kept = (left / FILE).read_text()
    (left / FILE).write_text(kept.replace(str(THIS_ENVIRONMENT.prefix), str(prefix)))
    with started_ahead(left) as ahead:
        process_of(ahead)
    (left / FILE).write_text((left / FILE).read_text().replace('"stamp": ""', '"stamp": "sha256:another lock"'))
    with started_ahead(left) as ahead:
        assert ahead._started is None, "the environment is another by now"


@pytest.fixture
def checkout(left: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a lock and its environment, and a service that never started there."""
    (left / FILE).unlink()
    (project.root / "pyproject.toml").write_text(PYPROJECT)
    (project.root / "uv.lock").write_text(LOCK)
    (project.root / "prefix/bin").mkdir(parents=True)
    (project.root / "prefix/bin/python").symlink_to(THIS_ENVIRONMENT.python)
    (project.root / "prefix" / STAMP).write_text(Uv().read(project.root).stamp)
    monkeypatch.setenv("BEAMPERMIT_ENVIRONMENT", str(project.root / "prefix"))
    return project.root


def test_the_very_first_start_expects_what_the_checkout_has(left: Path, checkout: Path) -> None:
    with started_ahead(left, checkout) as ahead:
        number = process_of(ahead)
        expected = Start.of(Environment(checkout / "prefix"), Project(checkout).contract)
        taken = ahead.take(expected)
        assert taken is not None
        assert taken.process.pid == number
        taken.end()
    with started_ahead(left, checkout) as ahead:
        number = process_of(ahead)
        assert ahead.take(expected.model_copy(update={"device": "cuda"})) is None
        assert not runs(number), "the permit asks for another process"
    with started_ahead(left) as ahead:
        assert ahead._started is None, "it was started for a model that is named, and no checkout"


def test_a_checkout_of_which_nothing_is_believed_gets_no_variable_of_ours(left: Path, checkout: Path) -> None:
    """A branch may list those that log in."""
    contract = checkout / "contract.yaml"
    page = yaml.safe_load(contract.read_text())
    page["environment"]["variables"] = ["MLFLOW_TRACKING_PASSWORD"]
    contract.write_text(yaml.safe_dump(page))
    with started_ahead(left, checkout) as ahead:
        assert ahead._started is None


def test_a_checkout_without_its_environment_costs_nothing_but_time(left: Path, checkout: Path) -> None:
    (checkout / "prefix" / STAMP).write_text("sha256:another lock")
    with started_ahead(left, checkout) as ahead:
        assert ahead._started is None
    (checkout / "uv.lock").unlink()
    with started_ahead(left, checkout) as ahead:
        assert ahead._started is None


@pytest.mark.slow
def test_a_process_that_no_version_takes_ends_after_a_time(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has hundreds of MB in memory, and there may be no champion for months."""
    monkeypatch.setattr(ahead_module, "UNTAKEN", 0.1)
    with started_ahead(left) as ahead:
        number = process_of(ahead)
        wait_for(lambda: not runs(number))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"start": {}}', b"\xff"])
def test_a_damaged_word_of_the_last_service_costs_nothing_but_time(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with started_ahead(tmp_path) as ahead:
        assert ahead._started is None
