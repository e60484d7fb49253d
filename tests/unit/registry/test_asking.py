"""The process that asks the registry is begun and ended with the service, and imports little."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from beampermit.errors import BadInput
from beampermit.processes import stop
from beampermit.registry import answering, asking
from beampermit.registry.asking import registry_process
from support.planted_processes import runs, wait_for


def test_a_process_that_nobody_asks_is_not_left_over() -> None:
    with registry_process(wanted=False) as none:
        assert none is None
    with registry_process(wanted=True) as begun:
        assert begun is not None
        number = begun._process.pid
        assert runs(number)
    assert not runs(number)


@pytest.mark.slow
def test_it_ends_with_a_service_that_is_killed() -> None:
    script = "import time; from beampermit.registry.asking import *; print(RegistryProcess()._process.pid, flush=True)"
    command = [sys.executable, "-c", f"{script}; time.sleep(600)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        number = int(service.stdout.readline())
        assert psutil.pid_exists(number)
        service.kill()
        wait_for(lambda: not runs(number))


@pytest.mark.slow
def test_where_nobody_asks_for_long_it_ends_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "UNTAKEN", 0.1)
    with registry_process(wanted=True) as begun:
        assert begun is not None
        wait_for(lambda: not psutil.pid_exists(begun._process.pid))
        assert not begun.take()


@pytest.mark.slow
def test_one_that_is_asked_in_time_stays_and_is_ended_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be that of another group of processes by the end of the service."""
    ended: list[object] = []
    monkeypatch.setattr(asking, "UNTAKEN", 0.1)
    monkeypatch.setattr(asking, "stop", lambda process: (ended.append(process), stop(process)))
    with registry_process(wanted=True) as begun:
        assert begun is not None
        assert begun.take()
        time.sleep(0.3)
        with pytest.raises(BadInput, match="MLFLOW_TRACKING_URI is not set"):
            begun.ask(Path.cwd(), {"model": "m", "address": "", "alias": "challenger"}, {})
    assert len(ended) == 1


def test_it_starts_without_what_only_the_service_needs() -> None:
    """What the service imports besides would take half a second more, in which MLflow is not imported yet."""
    script = f"import sys, {answering.__name__}; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pydantic", "cryptography", "beampermit.contract", "beampermit.live"} & set(names)
