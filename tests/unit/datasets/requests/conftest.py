"""Fixtures of data requests: an archiver on 127.0.0.1, and projects whose contract asks for something."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from ruamel.yaml import YAML

from beampermit.datasets.requests.request import RequestResult, request
from beampermit.project import Project
from support.archiver import Archiver, sample
from support.data_requests import AT, END, START, Ask


@pytest.fixture
def archiver() -> Iterator[Archiver]:
    with Archiver().serve() as found:
        yield found


@pytest.fixture
def sound(archiver: Archiver) -> Archiver:
    """The archiver with ten seconds of a current that changes, and a mode that does not."""
    archiver.add("BEAM:CURRENT", [sample(AT - 5, 99.0), *(sample(AT + n, 100.0 + n) for n in range(10))], "mA")
    archiver.add("MACHINE:MODE", [sample(AT - 3000, 3)])
    return archiver


@pytest.fixture(scope="session")
def contract_values(contract_text: str) -> dict[str, Any]:
    """What the small contract says."""
    return YAML(typ="safe").load(contract_text)


@pytest.fixture
def asking(project: Project, contract_values: dict[str, Any]) -> Callable[..., Project]:
    """Write `dataset.request`, and other parts of the contract by their path: `**{"signals.devices": "d.csv"}`."""

    def write(wanted: dict[str, Any], **others: Any) -> Project:
        contract = deepcopy(contract_values)
        contract["dataset"]["request"] = wanted
        for path, value in others.items():
            *folders, last = path.split(".")
            part = contract
            for folder in folders:
                part = part[folder]
            part[last] = value
        # JSON is YAML too, and written a hundred times faster.
        (project.root / "contract.yaml").write_text(json.dumps(contract, indent=1, default=str))
        return Project(project.root)

    return write


@pytest.fixture
def ask_archiver(asking: Callable[..., Project], archiver: Archiver) -> Ask:
    """Ask the archiver for two signals, ten rows a second apart; keywords change the request."""

    def run(accept: bool = False, options: Any = None, parts: Any = None, **changes: Any) -> RequestResult:
        wanted = {
            "source": "archiver",
            "options": {"url": archiver.url, "backoff": 0.01, "timeout": 0.3, **(options or {})},
            "signals": [
                {"name": "current", "pv": "BEAM:CURRENT", "unit": "mA", "range": [0, 500]},
                {"name": "mode", "pv": "MACHINE:MODE", "unit": "1"},
            ],
            "ranges": [{"start": START, "end": END}],
            "sampling": {"period": "1s"},
            "gaps": {"max_age": "1h"},
        }
        return request(asking({**wanted, **changes}, **(parts or {})), _no_work, accept=accept)

    return run


def _no_work(*_: Any) -> Any:
    raise AssertionError("nothing of the project's own is run")
