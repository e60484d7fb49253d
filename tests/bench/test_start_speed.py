"""From the start of `beampermit serve` to the first valid output, where the environment is there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from beampermit.demo.control_room import INPUT, PREFIX, PV
from beampermit.demo.screen import Screen
from beampermit.live.process.ahead import FILE
from beampermit.live.severity import Severity
from beampermit.project import Project
from support.epics import Network, epics, until
from support.served_project import PATIENCE, ServedProject, machine, put_into_service

__all__ = ["epics"]
pytestmark = pytest.mark.bench
Say = Callable[[str], None]
VALID = ("SERVING", "DEGRADED")


def test_the_first_valid_output(say: Say, epics: Network, trained_copy: Project, tmp_path: Path) -> None:
    """The worked example, a network of torch; its model comes from the registry, and then lies here."""
    served = put_into_service(trained_copy, tmp_path)
    first = replace(served, state=tmp_path / "first" / "state")
    first.have_the_model()
    with machine(epics, served.lab.root), closing(Screen(epics, PREFIX, INPUT, INPUT)) as inputs:
        until(inputs.connect, PATIENCE)  # the machine starts before the service, and so does this client
        start(say, epics, served, "its model from the registry")
        start(say, epics, served, "started again")
        assert not (first.state / FILE).exists(), "no earlier start left word of its process"
        start(say, epics, first, "its model on the disk, the first start of the service")


def start(say: Say, epics: Network, served: ServedProject, what: str) -> None:
    served.said.unlink(missing_ok=True)
    with epics.place() as place:
        began = time.time()
        with served.service(epics, place, "--follow", "15s") as service:
            seen = first_valid(epics) - began
            until(lambda: any(status in VALID for _, status in statuses(served)), PATIENCE)
            cpu = seconds_of_cpu(psutil.Process(service.pid))
    steps = {status: at - began for at, status in reversed(statuses(served))}
    valid = min(steps[status] for status in VALID if status in steps)
    others = ", ".join(f"{status} after {at:.1f} s" for status, at in sorted(steps.items(), key=lambda one: one[1]))
    figures = f"{valid:.1f} s (aim: 5 s), a client has it after {seen:.1f} s, {cpu:.1f} s of CPU"
    say(f"first valid output, {what}: {figures}; {others}")


def first_valid(network: Network) -> float:
    """When a client that asks again and again gets a number that is not INVALID, in s since 1970."""
    with closing(Screen(network, PREFIX, PV, PV)) as screen:
        until(screen.connect, PATIENCE)
        until(lambda: screen.show(PV).severity < Severity.INVALID, PATIENCE)
        return time.time()


def seconds_of_cpu(service: psutil.Process) -> float:
    """With all that it started; what ends meanwhile, as git does, counts for its parent once that has waited for it."""
    found = 0.0
    for one in (service, *service.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            found += times.user + times.system + times.children_user + times.children_system
    return found


def statuses(served: ServedProject) -> list[tuple[float, str]]:
    """What the service said of itself, and when."""
    lines = served.said.read_text().splitlines() if served.said.exists() else []
    told = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return [(datetime.fromisoformat(one["time"]).timestamp(), one["status"]) for one in told if "status" in one]
