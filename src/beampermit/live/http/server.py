"""The HTTP server, in a thread of its own: nothing of it is imported before the outputs are there."""

from __future__ import annotations

import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from beampermit.errors import BadInput, Outside
from beampermit.live.extra import require_live

if TYPE_CHECKING:
    from beampermit.live.http.observed import Observed

logger = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
LONGEST_HEAD = 16 * 2**10
"""Bytes of a request's first line and headers."""
MOST_CONNECTIONS = 200
PATIENCE = 5.0
"""Seconds that the server has to end."""


class HttpServer:
    """Listens from the beginning, and answers as soon as it can."""

    def __init__(self, listener: socket.socket, observed: Observed, questions: bool):
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self._listener, self._observed = listener, observed
        self._answerer = ThreadPoolExecutor(1, "beampermit-question") if questions else None
        self._server: Any = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="beampermit-http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End what is being answered; no new request is taken."""
        self._closed = True
        if self._server:
            self._server.should_exit = True
        if self._thread.ident:
            self._thread.join(PATIENCE)
        self._listener.close()
        if self._answerer:
            self._answerer.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        import uvicorn

        from beampermit.live.http.application import application
        from beampermit.live.http.patience import PatientProtocol

        config = uvicorn.Config(
            application(self._observed, self._answerer),
            http=PatientProtocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=LONGEST_HEAD,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        self._server = uvicorn.Server(config)
        if not self._closed:
            self._server.run(sockets=[self._listener])


def serve_http(address: str, observed: Observed, *, questions: bool = True) -> HttpServer:
    """Serve at `HOST:PORT`; a port alone is one of this machine only, and port 0 any that is free.

    With `questions`, the model may be asked and outputs be read there; otherwise health and metrics alone. Raises
    `BadInput` where that is no address, `Outside` where nobody can listen there.
    """
    require_live("HTTP")
    server = HttpServer(_listen(*parse_address(address)), observed, questions)
    server.start()
    host, port = server.address
    what = "questions, health and metrics" if questions else "health and metrics"
    logger.info("%s at http://%s:%d", what, f"[{host}]" if ":" in host else host, port)
    return server


def parse_address(address: str) -> tuple[str, int]:
    """Host and port; `[::1]:8765` for a host of colons. Raises `BadInput`."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise BadInput(f"{address!r} is no address to listen at, which is HOST:PORT such as {LOOPBACK}:8765")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place[:2], family=family)
    except OSError as error:
        raise Outside(f"nobody can listen at {host}:{port}: {(error.strerror or str(error)).lower()}") from None
