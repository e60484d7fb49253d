"""A service of `tests/support/served.py` with its HTTP server on 127.0.0.1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from beampermit.live.http.observed import Observed
from beampermit.live.http.server import HttpServer, serve_http
from beampermit.live.loop import Loop
from beampermit.live.observation.metrics import Metrics
from beampermit.live.observation.vitals import Vitals
from support.served import Served

NAME = "bpm-faults"
TURNS = {"name": "turns", "datatype": "FP64", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}
CURRENT = {"name": "current", "datatype": "FP64", "shape": [2], "data": [300.0, 301.0]}


@dataclass
class Browsed:
    """`loops` has the loop in service; `later` is added to the monotonic clock."""

    client: httpx.Client
    server: HttpServer
    observed: Observed
    loops: list[Loop]
    clock: list[float] = field(default_factory=lambda: [100.0])

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def ask(self, *inputs: dict[str, Any], **question: Any) -> httpx.Response:
        body = {"inputs": list(inputs or (TURNS, CURRENT)), **question}
        return self.client.post(f"/v2/models/{NAME}/infer", json=body)

    def publish(self, served: Served, **cycle: Any) -> None:
        """One cycle, and its update to those who look."""
        update = served.cycle(**cycle)
        self.observed.vitals.publish(update)
        self.observed.metrics.publish(update)


Browse = Callable[..., Browsed]


@pytest.fixture
def browse() -> Iterator[Browse]:
    """Serves a loop over HTTP, or nothing yet; ends with the test."""
    opened: list[Browsed] = []

    def made(served: Served | None = None, *, questions: bool = True) -> Browsed:
        loops = [served.loop] if served else []
        clock = [100.0]
        vitals = Vitals(clock=lambda: 1_800_000_000.0, monotonic=lambda: clock[0])
        metrics = Metrics(NAME, lambda: next(iter(loops), None), lost=lambda: 7)
        observed = Observed(NAME, lambda: next(iter(loops), None), vitals, metrics)
        server = serve_http("0", observed, questions=questions)
        client = httpx.Client(base_url=f"http://127.0.0.1:{server.address[1]}", timeout=30, trust_env=False)
        opened.append(Browsed(client, server, observed, loops, clock))
        return opened[-1]

    yield made
    for browsed in opened:
        browsed.client.close()
        browsed.server.close()
