"""A process that waits for its model belongs to one version, and is never left over."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beampermit.live.process import child
from beampermit.live.process.early import EarlyProcess
from beampermit.live.process.model_process import ModelProcess
from support.planted_models import THIS_ENVIRONMENT
from support.planted_processes import SPEAKS, asked_contract, runs, wait_for


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


def test_a_process_is_given_to_its_version_alone_and_ends_where_nobody_takes_it(
    contract_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(SPEAKS.replace("BEFORE", "").replace("ASKED", "pass"))
    monkeypatch.setattr(child, "WORKER", script)
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
