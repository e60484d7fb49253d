"""Phoebus' Olog: an entry is written once, with a login that nobody else sees; what it answers is not trusted."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from beampermit.alarm_outlets import load_logbook
from beampermit.errors import BadInput, Outside
from beampermit.monitoring.response.logbook import Entry
from beampermit.monitoring.response.olog import LOGIN, Olog
from support.loopback import listening

ENTRY = Entry("0123abcd" * 4, datetime.now(UTC), "drift of\nturns.std", "**What** to do", "MINOR", "bpm-faults")


@dataclass
class Service:
    """Olog's `/Olog/logs`, as its documentation says: a search is free, and to write needs a login."""

    url: str = ""
    entries: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, list[str]], str]] = field(default_factory=list)
    wrapped: bool = False
    answer: tuple[int, bytes] | None = None
    """Instead of its own."""

    def answered(self, method: str, query: dict[str, list[str]], login: str, body: bytes) -> tuple[int, object]:
        if method == "GET":
            found = [one for one in self.entries if query["desc"][0] in one["description"]]
            return 200, {"hitCount": len(found), "logs": found} if self.wrapped else found
        if login != "Basic " + base64.b64encode(b"ada:s3cret:x").decode():
            return 401, {}
        self.entries.append({**json.loads(body), "id": 575 + len(self.entries)})
        return 200, self.entries[-1]


@pytest.fixture
def olog() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            assert path == "/Olog/logs"
            login = self.headers.get("Authorization", "")
            service.asked.append((self.command, query, login))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, answer = service.answer or service.answered(self.command, query, login, body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with listening(Handler) as port:
        service.url = f"http://127.0.0.1:{port}/Olog"
        yield service


@pytest.mark.slow
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_entry_is_written_once(olog: Service, wrapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    olog.wrapped = wrapped
    monkeypatch.setenv(LOGIN, "ada:s3cret:x")
    book = load_logbook(f"olog:{olog.url}/#Operations, Models")
    said = [book.write(ENTRY), book.write(ENTRY)]
    assert said == [f"logbook {olog.url}/logs/575"] * 2
    (entry,) = olog.entries
    assert (entry["owner"], entry["level"], entry["title"]) == ("ada", "Info", "MINOR drift of turns.std")
    assert entry["description"] == f"**What** to do\n\nbeampermit {ENTRY.id}"
    assert entry["logbooks"] == [{"name": "Operations"}, {"name": "Models"}]
    assert [method for method, *_ in olog.asked] == ["GET", "PUT", "GET"]
    assert [query.get("markup") for _, query, _ in olog.asked] == [None, ["commonmark"], None]
    assert {login for method, _, login in olog.asked if method == "GET"} == {""}, "a login goes where it is needed"


@pytest.mark.slow
def test_an_entry_that_only_looks_alike_is_another(olog: Service) -> None:
    olog.entries.append({"id": 1, "description": f"somebody quotes {ENTRY.id}"})
    Olog(f"{olog.url}#Operations", {LOGIN: "ada:s3cret:x"}).write(ENTRY)
    assert len(olog.entries) == 2


@pytest.mark.slow
@pytest.mark.parametrize("login", ["", "bo:s3cret"])
def test_a_login_that_is_refused_says_what_to_set_and_shows_nothing(olog: Service, login: str) -> None:
    with pytest.raises(Outside, match=r"the logbook refuses the login \(401\)") as caught:
        Olog(f"{olog.url}#Operations", {LOGIN: login}).write(ENTRY)
    assert caught.value.hint == "export BEAMPERMIT_LOGBOOK_LOGIN=USER:PASSWORD"
    assert "s3cret" not in str(caught.value)
    assert olog.entries == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((503, b""), "the logbook answers GET with 503"),
        ((302, b""), "the logbook answers GET with 302"),
        ((200, b"<html>"), "not JSON"),
        ((200, b"7"), "answers a search with no list of entries"),
        ((200, b'{"logs": {}}'), "answers a search with no list of entries"),
        ((200, b" " * (4 * 2**20 + 1)), "the logbook answers with more than 4 MiB"),
    ],
)
def test_an_answer_that_is_none_is_tried_again_later(olog: Service, answer: tuple[int, bytes], words: str) -> None:
    olog.answer = answer
    with pytest.raises(Outside, match=words):
        Olog(f"{olog.url}#Operations", {}).write(ENTRY)


def test_a_service_that_is_away_is_tried_again_later() -> None:
    with pytest.raises(Outside, match="the logbook cannot be reached: ConnectError"):
        Olog("http://127.0.0.1:9/Olog#Operations", {}).write(ENTRY)


@pytest.mark.parametrize(
    "where",
    ["", "https://olog.lab.example/Olog", "https://olog#", "olog#Operations", "https://a:b@olog#X", "http://[#X"],
)
def test_an_address_that_is_none_is_refused(where: str) -> None:
    with pytest.raises(BadInput, match="needs the address of the service and a logbook's name"):
        Olog(where, {})


@pytest.mark.parametrize("login", ["ada", ":x", "ada:", "ada:x\ny"])
def test_a_login_without_a_password_is_refused(login: str) -> None:
    with pytest.raises(BadInput, match="BEAMPERMIT_LOGBOOK_LOGIN is not USER:PASSWORD") as caught:
        Olog("https://olog/Olog#Operations", {LOGIN: login})
    assert login not in str(caught.value)
