"""A stand-in of the EPICS Archiver Appliance on 127.0.0.1: answers as it does, and fails as it can."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.loopback import listening

PATH = "/retrieval/data/getData.json"
Samples = list[dict[str, Any]]
Fault = Callable[["_Handler"], bool]
"""Does something to an answer; True where there is nothing left to say."""


def sample(when: str | float, value: Any, severity: int = 0, **fields: str) -> dict[str, Any]:
    """One sample: `when` is ISO 8601 with a zone, or seconds since 1970."""
    seconds = datetime.fromisoformat(when).timestamp() if isinstance(when, str) else when
    found = {"secs": int(seconds), "nanos": round(seconds % 1 * 1e6) * 1000, "val": value}
    return {**found, "severity": severity, "status": 0, **({"fields": fields} if fields else {})}


class Archiver:
    """PVs with their samples in the order in which they are answered; `faults` are done to the next answers."""

    def __init__(self) -> None:
        self.units: dict[str, str] = {}
        self.samples: dict[str, Samples] = {}
        self.asked: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self.url = ""

    def add(self, pv: str, samples: Samples, unit: str = "") -> None:
        """Archive a PV."""
        self.samples[pv] = samples
        self.units[pv] = unit

    def body(self, pv: str, start: float, end: float) -> bytes:
        """An answer: what is in the span, with the sample that held at its start; nothing of an unknown PV."""
        if pv not in self.samples:
            return b"[]"
        times = [one["secs"] + one["nanos"] / 1e9 for one in self.samples[pv]]
        before = [number for number, when in enumerate(times) if when < start]
        last = max(before, key=lambda number: times[number], default=None)
        odd = {number for number, when in enumerate(times) if when < start - 10 * 86400}  # a clock that jumped
        found = [
            one
            for number, (when, one) in enumerate(zip(times, self.samples[pv], strict=True))
            if start <= when <= end or number == last or number in odd
        ]
        meta = {"name": pv, "PREC": "3", **({"EGU": self.units[pv]} if self.units[pv] else {})}
        return json.dumps([{"meta": meta, "data": found}]).encode()

    @contextmanager
    def serve(self) -> Iterator[Archiver]:
        """Answer on a port of its own."""
        with listening(type("Handler", (_Handler,), {"archiver": self})) as port:
            self.url = f"http://127.0.0.1:{port}"
            yield self


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    archiver: Archiver

    def do_GET(self) -> None:
        archiver = self.archiver
        parts = urlsplit(self.path)
        question = parse_qs(parts.query)
        if parts.path != PATH:
            self.send_error(404)
            return
        (pv,) = question["pv"]
        archiver.asked[pv] += 1
        fault = archiver.faults.pop(0) if archiver.faults else archiver.always
        if fault and fault(self):
            return
        start, end = (datetime.fromisoformat(question[key][0]).timestamp() for key in ("from", "to"))
        self.answer(archiver.body(pv, start, end))

    def answer(self, body: bytes, status: int = 200) -> None:
        """Answer in chunks, as the appliance does with large answers."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for first in range(0, len(body), 65536):
            block = body[first : first + 65536]
            self.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def busy(handler: _Handler) -> bool:
    """Status 503."""
    handler.answer(b"come back later", 503)
    return True


def forbidden(handler: _Handler) -> bool:
    """Status 403."""
    handler.answer(b"no", 403)
    return True


def hang(handler: _Handler) -> bool:
    """Say nothing for a second."""
    time.sleep(1.0)
    handler.close_connection = True
    return True


def reset(handler: _Handler) -> bool:
    """Promise more than comes, and hang up."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'[{"meta": {"name":')
    handler.close_connection = True
    return True


def saying(body: bytes) -> Fault:
    """Answer this."""

    def fault(handler: _Handler) -> bool:
        handler.answer(body)
        return True

    return fault
