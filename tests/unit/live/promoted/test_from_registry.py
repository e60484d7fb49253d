"""The process that asks the registry, which is one of the same user as a model's."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import Outside
from beampermit.live.promoted import Repository, Wanted, from_registry
from beampermit.processes import start
from beampermit.registry import asking
from beampermit.registry.asking import RegistryProcess, registry_process
from support.planted_processes import runs


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """The variables of each process, as it starts."""
    found: list[Mapping[str, str]] = []

    def watched(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        found.append(options["env"])
        return start(command, **options)

    monkeypatch.setattr(asking, "start", watched)
    return found


@pytest.mark.slow
def test_what_logs_in_at_the_registry_is_no_variable_that_its_process_starts_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, started: list[Mapping[str, str]]
) -> None:
    """A model in service can read those."""
    address = f"sqlite:///{tmp_path}/none.db"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "beam")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    wanted = Wanted("bpm-faults", Repository(""), tmp_path)
    with pytest.raises(Outside, match=f"there is no registry at {address}"):
        from_registry.fetch_challenger(wanted)
    assert not {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"} & started[0].keys()


@pytest.mark.slow
def test_the_process_that_was_begun_is_asked_once_and_not_after_it_has_ended(
    tmp_path: Path, started: list[Mapping[str, str]]
) -> None:
    """The address is of the question, and relative to the service's folder."""
    with registry_process(wanted=True) as begun:
        assert begun is not None
        number = begun._process.pid
        wanted = Wanted("bpm-faults", Repository(""), tmp_path, registry="sqlite:///none.db", begun=begun)
        for processes in (1, 2):
            with pytest.raises(Outside, match=r"there is no registry at sqlite:///none\.db"):
                from_registry.fetch(wanted, 1, "sha256:0", "", tmp_path / "models")
            assert len(started) == processes
            assert not runs(number)
    ended = RegistryProcess()
    ended.end()
    assert not ended.take()
