"""The service's records in a process of their own, and the three clients that judge them: aioca, caproto, pvapy."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from support.epics import Child, Client, Network, client
from support.served import SIGNALS

SCORE, ORBIT = "B1:FAULT", "B1:ORBIT"
UNTOUCHED = "B4:FAULT"
"""Nobody changes its limits."""
PROMOTION = "sha256:1"
ACCESS = """\
UAG(operators) {{{user}}}
HAG(consoles)  {{127.0.0.1}}
ASG(DEFAULT) {{ RULE(1, READ) }}
ASG(LIMITS)  {{ RULE(1, READ) RULE(0, WRITE, TRAPWRITE) {{ UAG(operators) HAG(consoles) }} }}
ASG(RESTART) {{ RULE(1, READ) RULE(0, WRITE, TRAPWRITE) {{ UAG(operators) HAG(consoles) }} }}
"""


class Records(Child):
    """The process with the records."""

    def publish(self, values: dict[str, Any] | None = None, **health: Any) -> None:
        self.ask(publish=values or {}, health=health)

    def show(self, pv: str, value: Any, **parts: Any) -> None:
        self.publish({pv: {"value": value, **parts}})

    def again(self, start: dict[str, Any]) -> None:
        """Start it again, where it was."""
        self.kill()
        self._process = self._started(start)

    def left(self, code: int) -> int:
        """Its exit code when it is to leave with `code`."""
        with pytest.raises(AssertionError, match="ended with"):
            self.ask(leave=code)
        return self._process.returncode

    @property
    def restarts(self) -> int:
        return self.ask(state=None)["restarts"]

    def puts(self) -> list[dict[str, Any]]:
        """What was logged of puts; nothing else is JSON."""
        return [json.loads(line) for line in self.ask(state=None)["log"] if line.startswith("{")]


def contract_of(text: str, prefix: str = "FAULTS", **score: Any) -> str:
    """The contract of `support.served`; `score` replaces keys of its scalar output."""
    signals = deepcopy(SIGNALS)
    signals["outputs"][0].update(
        {"unit": "µm²", "description": "Fault score — of a beam position monitor, from its turns", "resolution": 0.01}
    )
    signals["outputs"][0].update(score)
    image = {"name": "image", "pv": "{device}:IMAGE", "shape": [2, 3], "unit": "1", "range": [0, 9]}
    signals["outputs"].append(image)
    model = {**yaml.safe_load(text), "signals": signals, "serving": {"prefix": prefix}}
    return yaml.safe_dump({**model, "fallback": {"on_invalid": "invalid"}})


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> dict[str, Any]:
    """What the process is started with."""
    root = tmp_path_factory.mktemp("served")
    (root / "devices.csv").write_text("device\nB1\nB2\nB3\nB4\n")
    (root / "site.acf").write_text(ACCESS.format(user=getpass.getuser()))
    text = contract_of(contract_text)
    access, state = str(root / "site.acf"), str(root / "state")
    return {"text": text, "root": str(root), "promotion": PROMOTION, "access": access, "state": state}


@pytest.fixture(scope="module")
def served(epics: Network, start: dict[str, Any]) -> Iterator[Records]:
    with epics.place() as place:
        child = Records("records", start, epics.server(place))
        yield child
        child.kill()


@pytest.fixture(scope="module")
def pvapy(epics: Network) -> Iterator[Client]:
    with client(epics, "pvapy") as made:
        yield made


@pytest.fixture(scope="module")
def aioca(epics: Network) -> Iterator[Client]:
    with client(epics, "aioca") as made:
        yield made


@pytest.fixture(scope="module")
def caproto(epics: Network) -> Iterator[Client]:
    with client(epics, "caproto") as made:
        yield made


def alarm(read: dict[str, Any]) -> tuple[int, int]:
    return read["severity"], read["status"]
