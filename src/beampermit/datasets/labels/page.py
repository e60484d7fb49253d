"""The labelling page: served on loopback only, at an address with a secret token."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from beampermit.datasets.labels.queue import Queue
from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.reading import parse_json

HOST = "127.0.0.1"
LARGEST = 16_384
SLOWEST = 30
"""Seconds that a request may take to arrive."""
NUMBER = re.compile(r"[0-9]{1,18}")
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
Answer = tuple[HTTPStatus, str, bytes, dict[str, str]]


class Server:
    """Serves one queue on loopback until it is closed; `url` contains the token that every request needs."""

    def __init__(self, queue: Queue, port: int = 0):
        self.queue = queue
        self._token = secrets.token_urlsafe(24)
        try:
            self._server = ThreadingHTTPServer((HOST, port), partial(_Handler, queue, self._token))
        except OSError as error:
            raise Outside(
                f"cannot listen on port {port}: {error.strerror}", hint="beampermit data label --port 0"
            ) from None
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_port}/{self._token}/"

    def serve(self) -> None:
        """Serve until Ctrl-C or `close`."""
        with suppress(KeyboardInterrupt):
            self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        self._server.shutdown()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Refuses requests without the token, with another host name, or from another page."""

    timeout = SLOWEST
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "beampermit", ""

    def __init__(self, queue: Queue, token: str, *rest: Any):
        self._queue = queue
        self._token = token
        super().__init__(*rest)

    def do_GET(self) -> None:
        self._answer({"": self._page, "state": self._state, "signals": self._signals})

    def do_POST(self) -> None:
        self._answer({"label": self._label})

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the address contains the token."""

    def _answer(self, routes: dict[str, Callable[[], Answer]]) -> None:
        if not self._same_origin():
            return self._send((HTTPStatus.FORBIDDEN, "text/plain", b"forbidden\n", {}))
        token, _, path = urlsplit(self.path).path.lstrip("/").partition("/")
        if not secrets.compare_digest(token.encode(), self._token.encode()) or path not in routes:
            return self._send((HTTPStatus.NOT_FOUND, "text/plain", b"not found\n", {}))
        try:
            answer = routes[path]()
        except BeampermitError as error:
            answer = _json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except OSError as error:
            answer = _json({"error": f"the label was not saved: {error.strerror}"}, HTTPStatus.INTERNAL_SERVER_ERROR)
        return self._send(answer)

    def _same_origin(self) -> bool:
        """Host and origin are this server: another site's page can send requests here, but not with both."""
        port = self.connection.getsockname()[1]
        names = [f"{host}:{port}" for host in (HOST, "localhost")]
        origin = self.headers.get("Origin")
        no_origin = origin is None and self.command == "GET"
        return self.headers.get("Host") in names and (no_origin or origin in [f"http://{name}" for name in names])

    def _page(self) -> Answer:
        nonce = secrets.token_urlsafe(16)
        text = files("beampermit.datasets.labels").joinpath("page.html").read_text(encoding="utf-8")
        headers = {"Content-Security-Policy": POLICY.format(nonce=nonce)}
        return HTTPStatus.OK, "text/html; charset=utf-8", text.replace("{{nonce}}", nonce).encode(), headers

    def _state(self) -> Answer:
        return _json(self._queue.state())

    def _signals(self) -> Answer:
        rows = parse_qs(urlsplit(self.path).query).get("rows", [""])[0]
        return _json(self._queue.signals([int(row) for row in rows.split(",") if NUMBER.fullmatch(row)]))

    def _label(self) -> Answer:
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not length.isdigit() or int(length) > LARGEST:
            self.close_connection = True
            raise BadInput(f"a label must be JSON of at most {LARGEST} bytes")
        body = parse_json(self.rfile.read(int(length)), "the request")
        fields = {"row": int, "value": str, "why": str, "confidence": int | float}
        if not isinstance(body, dict) or set(body) != set(fields):
            raise BadInput(f"a label must have exactly the fields {', '.join(fields)}")
        for key, kind in fields.items():
            if not isinstance(body[key], kind) or isinstance(body[key], bool):
                raise BadInput(f"{key} has the wrong type")
        annotations = self._queue.annotate(body["row"], body["value"], body["why"], float(body["confidence"]))
        return _json({"annotations": annotations})

    def _send(self, answer: Answer) -> None:
        status, kind, body, headers = answer
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            fixed = {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Cross-Origin-Opener-Policy": "same-origin",
            }
            for name, value in {**fixed, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    return status, "application/json", json.dumps(value, ensure_ascii=False, allow_nan=False).encode(), {}
