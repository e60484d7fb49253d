"""A monitor's responses to trips by hand, with a clock that stands, on the stand-in for GitHub."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from beampermit.contract import Contract, parse_contract
from beampermit.documents.alarm_texts import AlarmTexts
from beampermit.github.client import Client
from beampermit.monitoring.response.journal import Journal
from beampermit.monitoring.response.kept import Kept, opened
from beampermit.monitoring.response.respond import Outlets, Responder
from beampermit.verdicts.monitoring import Level, Reading, Result, Standing, Trip, Window
from support.github_stand_in import GitHub
from support.loopback import listening

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86400.0


def trip(
    check: str = "MON001",
    subject: str = "turns.std",
    *,
    level: Level = "MINOR",
    since: float = NOW,
    cleared: bool = False,
    version: int = 3,
    detail: str = "PSI over 10 bins",
) -> Trip:
    reading = Reading(check=check, subject=subject, value=0.1 if cleared else 0.42, limit=0.25, detail=detail)
    standing = Standing(reading=reading, level="NO_ALARM" if cleared else level, since=since)
    window = Window(since=NOW - HOUR, until=NOW, rows=3600, version=version)
    return Trip(model="bpm-faults", version=version, standing=standing, window=window, cleared=cleared)


def late(one: Trip, at: float) -> Trip:
    """Of truth that arrived up to then: one round judges many windows."""
    reading = one.standing.reading.model_copy(update={"newest": at})
    return one.model_copy(update={"standing": one.standing.model_copy(update={"reading": reading})})


def result(at: float, *standings: Standing) -> Result:
    window = Window(since=at - HOUR, until=at, rows=3600, version=3)
    return Result(model="bpm-faults", at=at, window=window, standings=standings, drift=0.5)


@dataclass
class Responding:
    """A responder whose thread does not run: `work` does what is due `after` so many s more."""

    folder: Path
    contract: Contract
    github: GitHub
    outlets: Outlets
    stack: ExitStack
    at: float = NOW
    kept: Kept = field(init=False)
    responder: Responder = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """As after a restart of the process; what it had in memory is lost."""
        self.stack.close()
        self.kept = self.stack.enter_context(opened(self.folder))
        self.responder = Responder(self.kept, self.outlets, self.contract, clock=lambda: self.at)

    def work(self, *trips: Trip, after: float = 0.0, result: Result | None = None) -> Journal:
        self.at += after
        self.github.clock = lambda: self.at
        self.responder.take(trips, result)
        self.responder.work()
        return self.journal

    @property
    def journal(self) -> Journal:
        return self.kept.journal

    @property
    def said(self) -> list[str]:
        """Comments, without their hidden lines."""
        return [comment["body"].split("\n\n<!--")[0] for comment in self.github.comments.values()]

    @property
    def states(self) -> list[str]:
        return [issue["state"] for issue in self.github.issues.values()]


@pytest.fixture
def responding(tmp_path: Path, contract_text: str, github: GitHub) -> Iterator[Callable[..., Responding]]:
    """A responder in a state folder; keywords of the contract's `monitoring.response`, `on_trip`, and of `Outlets`."""
    with ExitStack() as stack:

        def made(
            *, on_trip: str = "issue", outlets: dict[str, Any] | None = None, folder: str = "state", **response: Any
        ) -> Responding:
            contract = parse_contract(contract_text)
            parts = contract.monitoring.model_copy(
                update={"on_trip": on_trip, "response": contract.monitoring.response.model_copy(update=response)}
            )
            contract = contract.model_copy(update={"monitoring": parts})
            client = Client(github.repository, "s3cret", api=github.url, sleep=lambda _: None)
            inner = stack.enter_context(ExitStack())
            whole = replace(Outlets(AlarmTexts, client=client), **(outlets or {}))
            return Responding(tmp_path / folder, contract, github, whole, inner)

        yield made


@dataclass
class Receiver:
    """What a webhook's server got, and how it answers: a status, `Retry-After`, or so many seconds of nothing."""

    got: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    status: int = 204
    retry_after: str = ""
    hangs: float = 0.0
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.headers.append({name.lower(): value for name, value in self.headers.items()})
            found.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if found.hangs:
                time.sleep(found.hangs)
                return
            self.send_response(found.status)
            self.send_header("Location", f"{found.url}/elsewhere")
            if found.retry_after:
                self.send_header("Retry-After", found.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with listening(Handler) as port:
        found.url = f"http://127.0.0.1:{port}/hook"
        yield found
