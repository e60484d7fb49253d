"""A loop that hangs is seen from outside: systemd hears no sign of life any more, and `/healthz` says that it is dead.

Threads, sockets, HTTP and clocks are real.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from beampermit.live.http.observed import Observed
from beampermit.live.http.server import serve_http
from beampermit.live.lane import Lane
from beampermit.live.loop import Loop, Standing
from beampermit.live.observation import vitals
from beampermit.live.observation.metrics import Metrics
from beampermit.live.observation.notify import Notifier
from beampermit.live.service import Service
from beampermit.live.switch import Switch
from support.epics import until
from support.served import SIGNALS, Serve, Served

WATCHDOG = 1.0
"""s without a sign of life after which systemd ends the service."""
GRACE = 1.0
"""s that a loop may be without a cycle, beside those that the model may take."""
LOOKS = 0.1
"""s between two looks at the loops."""
SERVING = {"period": 0.1, "timeout": 0.5}
UNHURRIED = {**SIGNALS, "inputs": [{**one, "stale_after": "1h"} if "pv" in one else one for one in SIGNALS["inputs"]]}


class Systemd:
    """What the service tells it."""

    def __init__(self, listener: socket.socket):
        self._listener, self._signs = listener, list[float]()

    def signs(self) -> list[float]:
        """When signs of life came, by the monotonic clock."""
        while True:
            try:
                lines = self._listener.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self._signs
            self._signs += [time.monotonic()] * lines.count("WATCHDOG=1")


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """Notifiers that are made from here on tell it."""
    name = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", str(round(WATCHDOG * 1e6)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name)
        listener.setblocking(False)
        yield Systemd(listener)


@contextmanager
def running(served: Served, records: Any) -> Iterator[tuple[httpx.Client, Notifier]]:
    """A version in service, whose updates go to `records` first; a client of its HTTP, and who tells systemd."""
    seen, notifier, model = vitals.Vitals(), Notifier(), served.loop.contract.model.name
    sinks: list[Any] = [SimpleNamespace(publish=records), seen, notifier]

    def make_lane(_: object, standing: Standing, publish: Any) -> Lane:
        loop = Loop(served.loop.contract, served.loop.wiring, served.model, standing, publish)
        for place in range(len(served.devices)):
            loop.latest.put(0, place, (1.0, 2.0, 3.0), time.time(), 0)
        loop.latest.put(1, 0, 300.0, time.time(), 0)
        return Lane("version 3", loop, [], lambda: None)

    service = Service(
        Switch(sinks),
        make_lane,
        fits=lambda _: True,
        adopt=lambda _: None,
        idle=lambda: notifier.wait(ready=True),
    )
    observed = Observed(model, lambda: service.loop, seen, Metrics(model, lambda: service.loop))
    server = serve_http("0", observed, questions=False)
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    try:
        promoted: Any = SimpleNamespace(version=3, contract=served.loop.contract)
        service.promote(promoted, Standing(3, "sha256:p"))
        with httpx.Client(base_url=f"http://127.0.0.1:{server.address[1]}", timeout=30, trust_env=False) as client:
            yield client, notifier
    finally:
        service.stop()
        thread.join(20)
        server.close()
        notifier.close()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["sink", "model"])
def test_a_loop_that_hangs_gives_no_sign_of_life_and_is_dead_until_it_goes_on(
    serve: Serve, systemd: Systemd, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(vitals, "GRACE", GRACE)
    monkeypatch.setattr("beampermit.live.service.WATCH", LOOKS)
    served, gate = serve(serving=SERVING, signals=UNHURRIED), threading.Lock()

    def wait(value: Any) -> Any:
        with gate:
            return value

    if where == "model":
        served.model.gives = wait
    with running(served, wait if where == "sink" else lambda _: None) as (client, notifier):

        def answers(path: str, code: int) -> bool:
            return client.get(path).status_code == code

        def lives(since: float) -> bool:
            return sum(sign > since for sign in systemd.signs()) > 2 and answers("/healthz", 200)

        began = time.monotonic()
        until(lambda: answers("/readyz", 200))
        until(lambda: lives(began))
        with gate:
            until(lambda: time.monotonic() - systemd.signs()[-1] > WATCHDOG)
            until(lambda: answers("/healthz", 503))
            assert answers("/readyz", 503)
            heard = len(systemd.signs())
            notifier.say("the ledger does not answer")
            assert len(systemd.signs()) == heard, "what another thread says of it is no sign of life"
            went_on = time.monotonic()
        until(lambda: lives(went_on))
