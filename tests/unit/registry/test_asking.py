"""The process that asks the registry is begun and ended with the service, and imports little."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

from beampermit.registry import answering
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
def test_it_ends_with_a_service_that_is_killed_and_after_a_time() -> None:
    script = "import time; from beampermit.registry.asking import *; print(RegistryProcess()._process.pid, flush=True)"
    command = [sys.executable, "-c", f"{script}; time.sleep(600)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        number = int(service.stdout.readline())
        assert psutil.pid_exists(number)
        service.kill()
        wait_for(lambda: not runs(number))
    script = "import beampermit.registry.answering as it; it.UNASKED = 1; it.import_ahead = lambda: None; it.main()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as waits:
        assert waits.wait(60) == -signal.SIGALRM


def test_it_starts_without_what_only_the_service_needs() -> None:
    """What the service imports besides would take half a second more, in which MLflow is not imported yet."""
    script = f"import sys, {answering.__name__}; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pydantic", "cryptography", "beampermit.contract", "beampermit.live"} & set(names)
