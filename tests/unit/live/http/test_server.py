"""Where the server listens, and that it ends."""

from __future__ import annotations

import socket
import sys

import httpx
import pytest

from beampermit.errors import BadInput, Outside
from beampermit.live.http.server import LONGEST_HEAD, parse_address, serve_http
from support.http_service import Browse
from support.served import Served


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("8765", ("127.0.0.1", 8765)),
        (":8765", ("127.0.0.1", 8765)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("[::1]:65535", ("::1", 65535)),
        ("control.lab.example:1", ("control.lab.example", 1)),
    ],
)
def test_an_address_without_a_host_is_one_of_this_machine_only(address: str, place: tuple[str, int]) -> None:
    assert parse_address(address) == place


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", "localhost:65536", "localhost:-1", "localhost:٣"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match=r"is no address to listen at, which is HOST:PORT such as 127\.0\.0\.1:8765"):
        parse_address(address)


def test_a_place_where_nobody_can_listen_is_told_at_once(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    port = http.server.address[1]
    with pytest.raises(Outside, match=rf"nobody can listen at 127\.0\.0\.1:{port}: address already in use"):
        serve_http(str(port), http.observed)
    with pytest.raises(Outside, match=r"nobody can listen at 192\.0\.2\.1:0"):
        serve_http("192.0.2.1:0", http.observed)


def test_only_the_address_that_is_asked_for_answers(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    assert http.get("/healthz").status_code == 200
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", http.server.address[1]))


@pytest.mark.parametrize(
    ("questions", "what"), [(True, "questions, health and metrics"), (False, "health and metrics")]
)
def test_the_log_says_where_what_is_answered(
    serving: Served, browse: Browse, caplog: pytest.LogCaptureFixture, questions: bool, what: str
) -> None:
    caplog.set_level("INFO", "beampermit")
    http = browse(serving, questions=questions)
    assert caplog.messages == [f"{what} at http://127.0.0.1:{http.server.address[1]}"]


def test_a_closed_server_answers_nobody(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    http.get("/healthz")
    http.server.close()
    with pytest.raises(httpx.TransportError):
        http.get("/healthz")


def test_a_head_without_end_is_refused(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    with socket.create_connection(http.server.address, timeout=20) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nX-Long: ")
        for _ in range(LONGEST_HEAD // 1024 + 1):
            client.sendall(b"x" * 1024)
        assert client.recv(64).startswith(b"HTTP/1.1 400 ")


def test_without_the_extra_the_command_is_told(
    serving: Served, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = browse(serving)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(BadInput) as caught:
        serve_http("0", http.observed)
    assert (caught.value.message, caught.value.hint) == (
        "HTTP needs the extra live: uvicorn is not installed",
        "pip install 'beampermit[live]'",
    )
