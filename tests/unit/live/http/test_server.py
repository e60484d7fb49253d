"""Where the server listens, and that it ends."""

from __future__ import annotations

import socket
import sys
import time

import httpx
import pytest

from beampermit.errors import BadInput, Outside
from beampermit.live.http.server import LONGEST_HEAD, MOST_CONNECTIONS, parse_address, serve_http
from support.epics import until
from support.http_service import Browse
from support.served import Served

HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


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


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"GET /healthz HT"], id="half a line"),
        pytest.param([b"GET /healthz HTTP/1.1\r\nHost: x\r\n", *[b"X: y\r\n"] * 1000], id="one header at a time"),
        pytest.param([HEAD + b"\r\n", b"GET /he"], id="half a request after a whole one"),
        pytest.param([HEAD + b"Content-Length: 1000\r\n\r\n", *[b"x"] * 1000], id="what nobody reads"),
    ],
)
def test_a_request_that_does_not_arrive_takes_no_place_for_long(
    serving: Served, browse: Browse, monkeypatch: pytest.MonkeyPatch, parts: list[bytes]
) -> None:
    http = browse(serving)
    assert http.get("/healthz").status_code == 200  # it has begun
    monkeypatch.setattr("beampermit.live.http.patience.PATIENCE", 0.3)
    began = time.monotonic()
    with socket.create_connection(http.server.address, timeout=0.02) as client:
        left = iter(parts)
        while time.monotonic() < began + 4:  # uvicorn's own limit for what is idle is 5 s
            try:
                client.sendall(next(left, b""))
                if client.recv(4096) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("the connection stays")
    assert time.monotonic() - began > 0.2


@pytest.mark.slow
def test_a_connection_that_is_used_again_stays(
    serving: Served, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = browse(serving)
    assert http.get("/healthz").status_code == 200
    monkeypatch.setattr("beampermit.live.http.patience.PATIENCE", 1.5)
    with socket.create_connection(http.server.address, timeout=20) as client:
        for _ in range(2):
            client.sendall(HEAD[:20])
            client.sendall(HEAD[20:] + b"\r\n")
            answer = b""
            while not answer.endswith(b"}"):  # head and body may come apart
                answer += client.recv(4096) or pytest.fail("the connection was closed")
            assert answer.startswith(b"HTTP/1.1 200 ")
            time.sleep(1.8)


@pytest.mark.slow
def test_half_requests_do_not_stop_the_others(serving: Served, browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    http = browse(serving)
    assert http.get("/healthz").status_code == 200
    monkeypatch.setattr("beampermit.live.http.patience.PATIENCE", 3)
    halves = [socket.create_connection(http.server.address) for _ in range(MOST_CONNECTIONS)]
    for half in halves:
        half.sendall(b"GET /healthz HT")
    for code in (503, 200):
        until(lambda code=code: http.get("/status").status_code == code)
    for half in halves:
        half.close()


@pytest.mark.slow
def test_silent_connections_do_not_make_the_service_look_dead(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    http.publish(serving)
    assert http.get("/status").status_code == 200
    silent = [socket.create_connection(http.server.address) for _ in range(MOST_CONNECTIONS)]
    until(lambda: http.get("/status").status_code == 503)
    assert [http.get(path).status_code for path in ("/healthz", "/readyz", "/status")] == [200, 200, 503]
    for one in silent:
        one.close()


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
