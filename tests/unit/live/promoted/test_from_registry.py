"""The process that asks the registry, which is one of the same user as a model's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import Outside
from beampermit.live.promoted import Repository, Wanted, from_registry
from beampermit.processes import Finished, run


@pytest.mark.slow
def test_what_logs_in_at_the_registry_is_no_variable_that_its_process_starts_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A model in service can read those."""
    address, started = f"sqlite:///{tmp_path}/none.db", list[Mapping[str, str]]()

    def watched(command: Sequence[str], **options: Any) -> Finished:
        started.append(options["env"])
        return run(command, **options)

    monkeypatch.setattr(from_registry, "run", watched)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "beam")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    wanted = Wanted("bpm-faults", Repository(""), tmp_path)
    with pytest.raises(Outside, match=f"there is no registry at {address}"):
        from_registry.fetch_challenger(wanted)
    assert not {"MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"} & started[0].keys()


def test_it_hides_before_it_reads_what_logs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Request(StringIO):
        def read(self, size: int | None = -1, /) -> str:
            done.append("read")
            return super().read(size)

    monkeypatch.setattr(from_registry, "hide_memory", lambda: done.append("hidden"))
    monkeypatch.setattr("sys.stdin", Request(json.dumps({"model": "bpm-faults", "address": "", "variables": {}})))
    from_registry.main()
    assert done == ["hidden", "read"]
