"""From the start of `beampermit serve` to the first valid output, where the environment is there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil
import pytest

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
    with machine(epics, served.lab.root):
        for what in ("its model from the registry", "started again"):
            served.said.unlink(missing_ok=True)
            with epics.place() as place:
                began = time.time()
                with served.service(epics, place) as service:
                    until(lambda: any(status in VALID for _, status in statuses(served)), PATIENCE)
                    cpu = seconds_of_cpu(psutil.Process(service.pid))
            steps = {status: at - began for at, status in reversed(statuses(served))}
            valid = min(steps[status] for status in VALID if status in steps)
            others = ", ".join(
                f"{status} after {at:.1f} s" for status, at in sorted(steps.items(), key=lambda one: one[1])
            )
            say(f"first valid output, {what}: {valid:.1f} s (aim: 5 s), {cpu:.1f} s of CPU; {others}")


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
