"""`beampermit status` finds services by their PVs and by HTTP, and no text of theirs is obeyed."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.live.epics.peers import Peer
from beampermit.live.observation.services import ServiceStatus, ask_by_http, ask_by_pvs
from beampermit.project import Project
from support.epics import Child, Network
from support.http_service import Browse
from support.loopback import listening
from support.served import NOW, SIGNALS, Served

REASON = "B1:TBT is older than 5 s, and this is said in more than forty characters (6 of 6 outputs)"


class Beating:
    """Records of a service, the loop of which goes on until `stop`."""

    def __init__(self, child: Child):
        self.child = child
        self._goes_on = threading.Event()
        self._thread: threading.Thread | None = None

    def publish(self, cycles: int, **health: Any) -> None:
        self.child.ask(publish={}, health={"cycles": cycles, **health})

    def go(self, **health: Any) -> None:
        """Cycles from here on, of such a health."""
        self.stop()
        self.publish(100, **health)  # before anybody asks
        self._goes_on.clear()
        self._thread = threading.Thread(target=self._run, args=(health,))
        self._thread.start()

    def stop(self) -> None:
        self._goes_on.set()
        if self._thread:
            self._thread.join(20)

    def _run(self, health: dict[str, Any]) -> None:
        cycle = 100
        while not self._goes_on.wait(0.05):
            cycle += 1
            self.publish(cycle, **health)


@pytest.fixture(scope="module")
def beating(epics: Network, tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> Iterator[Beating]:
    root = tmp_path_factory.mktemp("served")
    (root / "devices.csv").write_text("device\nB1\n")
    text = yaml.safe_dump({**yaml.safe_load(contract_text), "signals": SIGNALS})
    start = {"text": text, "root": str(root), "promotion": "sha256:1", "access": None, "state": str(root / "state")}
    with epics.place() as place:
        child = Child("records", start, epics.server(place))
        beating = Beating(child)
        yield beating
        beating.stop()
        child.kill()


def status(*words: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, ["status", "--timeout", "2", *words], env={"COLUMNS": "80"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout.splitlines()


@pytest.mark.slow
def test_a_service_is_found_by_its_pvs(beating: Beating, project: Project) -> None:
    beating.go(input_age=0.25, latency_p99=0.0031)
    code, lines = status("--project", str(project.root))
    assert code == 0
    assert lines[0] == "service          version  status    since            input age  latency  loop"
    assert lines[1][:46].rstrip().startswith("BPM-FAULTS             3  SERVING   20")
    assert lines[1].split()[-5:] == ["250.0", "ms", "3.1", "ms", "runs"]
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80


def test_a_reason_stands_below_and_the_exit_code_says_that_something_is_wrong(beating: Beating) -> None:
    beating.go(status="INVALID", reason=REASON, input_age=float("nan"))
    code, lines = status("BPM-FAULTS", "NOBODY")
    assert code == 1
    assert lines[1].split()[:3] == ["BPM-FAULTS", "3", "INVALID"]
    assert lines[2] == f"  {REASON}"
    assert lines[3].split() == ["NOBODY", "no", "answer"]
    assert lines[4] == "  no answer within 2 s"


def test_a_heartbeat_that_does_not_move_is_told(beating: Beating) -> None:
    beating.stop()
    beating.publish(7)
    (service,) = ask_by_pvs(["BPM-FAULTS"], 0.5)
    assert (service.status, service.alive, service.serving) == ("SERVING", False, False)
    code, lines = status("BPM-FAULTS")
    assert (code, lines[1].split()[-1]) == (1, "stands")


def test_nothing_is_asked_but_pva(beating: Beating, monkeypatch: pytest.MonkeyPatch) -> None:
    """p4p has no CA: its `Context("ca")` speaks PVA without a word."""
    from p4p.client.thread import Context

    providers: list[str] = []
    begin = Context.__init__

    def without_a_network(self: Any, provider: str, **options: Any) -> None:
        providers.append(provider)
        where = {"EPICS_PVA_ADDR_LIST": "", "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
        begin(self, provider, conf=where, useenv=False, **options)

    monkeypatch.setattr(Context, "__init__", without_a_network)
    beating.go()
    (service,) = ask_by_pvs(["BPM-FAULTS"], 0.3)
    assert providers == ["pva"]
    assert (service.status, service.alive, service.error) == ("", False, "no answer within 0.3 s")


def test_a_service_that_does_not_answer_has_an_exit_code_of_its_own() -> None:
    code, lines = status("--http", "http://127.0.0.1:9/", "--json")
    assert code == 4
    (service,) = json.loads("\n".join(lines))
    assert (service["name"], service["alive"], service["status"]) == ("http://127.0.0.1:9/", False, "")
    assert "refused" in service["error"]


@pytest.mark.slow
def test_a_service_is_found_by_http(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    url = f"http://127.0.0.1:{http.server.address[1]}"
    http.publish(serving)
    code, lines = status("--http", url, "--json")
    assert code == 0
    (service,) = json.loads("\n".join(lines))
    assert ServiceStatus.model_validate(service).serving
    assert (service["name"], service["version"], service["since"]) == ("bpm-faults", 3, NOW)
    serving.put([0.0, np.nan, 0.0], device="B2")
    http.publish(serving)
    code, lines = status("--http", url, "--http", "http://127.0.0.1:9")
    assert code == 1
    assert lines[2] == "  B2:TBT is NaN (2 of 6 outputs)"
    assert lines[3].split()[-2:] == ["no", "answer"]


@pytest.mark.slow
def test_a_prediction_log_that_cannot_be_written_stands_in_the_table(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    http.observed.vitals._log_problem = lambda: "no space left on device"
    http.publish(serving)
    code, lines = status("--http", f"http://127.0.0.1:{http.server.address[1]}")
    assert (code, lines[2:]) == (0, ["  no space left on device"])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>", "no answer of this service: Invalid JSON"),
        (b'{"name": "x", "version": "three"}', "no answer of this service: version: Input should be a valid integer"),
        (b'{"name": "x", "since": NaN}', "no answer of this service: "),
        (b'{"name": "' + b"x" * 2**21 + b'"}', "no answer of this service: Invalid JSON"),
        (b"", "no answer of this service: Invalid JSON"),
    ],
)
def test_what_is_no_answer_of_a_service_is_an_error(body: bytes, error: str) -> None:
    with listening(answering(body)) as port:
        service = ask_by_http(f"http://127.0.0.1:{port}", 5.0)
    assert service.error.startswith(error)
    assert not service.serving


def test_another_server_is_no_service() -> None:
    with listening(answering(b"{}", code=404)) as port:
        assert ask_by_http(f"http://127.0.0.1:{port}", 5.0).error == "HTTP status 404"
    assert ask_by_http("nowhere", 5.0).error


@pytest.mark.slow
@pytest.mark.parametrize("begins", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "], ids=["body", "headers"])
def test_a_service_that_drips_is_waited_for_no_longer_than_one_that_is_silent(begins: bytes) -> None:
    over = threading.Event()

    class Dripping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(begins)
            with contextlib.suppress(OSError):
                while not over.wait(0.1):
                    self.wfile.write(b" ")

    with listening(Dripping) as port:
        began = time.monotonic()
        try:
            assert ask_by_http(f"http://127.0.0.1:{port}", 0.5).error == "no whole answer within 0.5 s"
            assert time.monotonic() - began < 3.0
        finally:
            over.set()


@pytest.mark.slow
def test_text_of_a_service_is_not_obeyed(tmp_path: Path) -> None:
    hostile = {"name": "x\x1b[2J", "status": "SERVING\n", "alive": True, "reason": "\x1b]0;gone\x07\u202e" + "y" * 5000}
    with listening(answering(json.dumps(hostile).encode())) as port:
        _, lines = status("--http", f"http://127.0.0.1:{port}")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def answering(body: bytes, code: int = 200) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.mark.slow
def test_who_is_connected_is_listed_and_no_text_of_theirs_is_obeyed(serving: Served, browse: Browse) -> None:
    http = browse(serving)
    connected = Peer("CA", "10.0.0.5:42642", "ada\x1b[2J", ("B1:FAULT", "B2:FAULT"))
    object.__setattr__(http.observed, "clients", lambda: (connected,))
    url = str(http.client.base_url).rstrip("/")
    finished = CliRunner().invoke(app, ["status", "--clients", "--http", url])
    assert finished.exit_code == 0
    assert "at 10.0.0.5:42642, CA: B1:FAULT, B2:FAULT" in finished.stdout
    assert "\x1b" not in finished.stdout
    listed = json.loads(CliRunner().invoke(app, ["status", "--clients", "--http", url, "--json"]).stdout)
    assert listed[0]["clients"][0]["pvs"] == ["B1:FAULT", "B2:FAULT"]
    # The port for all to see does not name them.
    alone = str(browse(serving, questions=False).client.base_url).rstrip("/")
    finished = CliRunner().invoke(app, ["status", "--clients", "--http", alone])
    assert (finished.exit_code, "HTTP status 404; ask the port of --http" in finished.stdout) == (4, True)
