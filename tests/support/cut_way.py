"""A way to an MLflow server on 127.0.0.1 that can be cut in the middle, as where it is gone, or the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler

from support.loopback import listening


@dataclass
class Way:
    """Passes requests on. `lost` are those whose answer never arrives, by the end of the path and which of those that
    end so, from 1; from `cut_at` on none passes, until `mended`."""

    to: int
    port: int = 0
    lost: tuple[tuple[str, int], ...] = ()
    cut_at: tuple[str, int] = ("", 0)
    asked: list[str] = field(default_factory=list)
    """Ends of the paths of requests that passed, such as `runs/create`."""
    is_cut: bool = False

    def mended(self) -> None:
        self.lost, self.cut_at, self.is_cut = (), ("", 0), False
        self.asked.clear()

    def passes(self, path: str) -> bool:
        end = path.rpartition("mlflow/")[2]
        self.is_cut = self.is_cut or (end, self.asked.count(end) + 1) == self.cut_at
        if not self.is_cut:
            self.asked.append(end)
        return not self.is_cut

    def loses(self, path: str) -> bool:
        end = path.rpartition("mlflow/")[2]
        return (end, self.asked.count(end)) in self.lost


@contextmanager
def way_to(port: int) -> Iterator[Way]:
    """To whatever listens at a port of 127.0.0.1."""
    way = Way(port)

    class Passes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if not way.passes(path):
                self.close_connection = True
                return
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            there = HTTPConnection("127.0.0.1", way.to, timeout=60)
            there.request(self.command, self.path, content, {**self.headers, "Host": f"127.0.0.1:{way.to}"})
            answer = there.getresponse()
            said = answer.read()
            there.close()
            if way.loses(path):
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with listening(Passes) as way.port:
        yield way
