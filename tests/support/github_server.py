"""The HTTP side of the GitHub stand-in: requests as values, answers, and what can go wrong on the way."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from support.loopback import listening


@dataclass
class Asked:
    """One request, as it came in."""

    method: str
    path: str
    query: dict[str, str]
    token: str
    content: bytes
    blobs: str
    """Where the bytes of artifacts are: another host, as at GitHub."""
    login: str = ""

    @property
    def body(self) -> Any:
        return json.loads(self.content)

    def words(self, **more: object) -> str:
        """The query, with some words set."""
        return urlencode({**self.query, **more})

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Answer:
    """What is said: `body` is sent as JSON unless it is bytes."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """GitHub says no."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


class Answering(Protocol):
    """What the server needs of GitHub."""

    faults: list[tuple[str, Fault]]
    blobs: dict[int, bytes]
    lock: threading.RLock

    def answer(self, asked: Asked) -> Answer: ...


Fault = Callable[[Answering, Asked], "Answer | None"]
"""Says something else than GitHub would; None where GitHub is to answer after all. Raises `HangUp`."""


class HangUp(Exception):
    """The connection ends without an answer."""


def says(status: int, body: Any = None, **headers: str) -> Fault:
    """Answer this instead."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda github, asked: Answer(status, {"message": "Oops"} if body is None else body, named)


def used_up(seconds: int) -> Fault:
    """No more requests for so many seconds: the hour's quota is spent."""
    reset = str(int(time.time()) + seconds)
    message = {"message": "API rate limit exceeded for installation."}
    return says(403, message, x_ratelimit_remaining="0", x_ratelimit_reset=reset)


def too_fast(seconds: int, status: int = 403) -> Fault:
    """A secondary rate limit."""
    return says(status, {"message": "You have exceeded a secondary rate limit."}, retry_after=str(seconds))


def reset(github: Answering, asked: Asked) -> Answer:
    """The connection breaks before anything is done."""
    raise HangUp


def lost(github: Answering, asked: Asked) -> Answer:
    """It is done, and the answer gets lost."""
    github.answer(asked)
    raise HangUp


def hang(seconds: float) -> Fault:
    """Say nothing for so long, then hang up."""

    def fault(github: Answering, asked: Asked) -> Answer:
        time.sleep(seconds)
        raise HangUp

    return fault


def meanwhile(something: Callable[[], Any]) -> Fault:
    """Something happens, then GitHub answers."""

    def fault(github: Answering, asked: Asked) -> None:
        something()

    return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    github: Answering
    blobs: str

    def do_any(self) -> None:
        asked = self._asked()
        try:
            answer = self._fault(asked) or self.github.answer(asked)
        except HangUp:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        self._send(answer)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_any  # noqa: N815

    def _asked(self) -> Asked:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, _, token = self.headers.get("Authorization", "").rpartition(" ")
        return Asked(self.command, parts.path, dict(parse_qsl(parts.query)), token, content, self.blobs)

    def _fault(self, asked: Asked) -> Answer | None:
        with self.github.lock:
            place = next((n for n, (of, _) in enumerate(self.github.faults) if of in str(asked)), None)
            fault = None if place is None else self.github.faults.pop(place)[1]
        return fault(self.github, asked) if fault else None

    def _send(self, answer: Answer) -> None:
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if answer.status != 204:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Blobs(BaseHTTPRequestHandler):
    """The storage that artifacts are really in: it refuses whoever shows it a token of GitHub's."""

    protocol_version = "HTTP/1.1"
    github: Answering

    def do_GET(self) -> None:
        refused = "Authorization" in self.headers
        body = b"token of another house" if refused else self.github.blobs[int(self.path.strip("/"))]
        self.send_response(400 if refused else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(github: Answering, certificate: Path | None = None) -> Iterator[str]:
    """Answer on two ports, the API's and the storage's; gives the API's address."""
    with (
        listening(type("Blobs", (_Blobs,), {"github": github})) as blobs,
        listening(
            type("Api", (_Handler,), {"github": github, "blobs": f"http://127.0.0.1:{blobs}"}), certificate
        ) as port,
    ):
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
