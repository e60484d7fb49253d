"""Whatever the registry or the remote answers, the exit code says whose fault it is, soon, and nothing moves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from beampermit.errors import Outside
from beampermit.registry.mlflow import Registry
from laboratory import MODEL, Laboratory

pytestmark = pytest.mark.slow
SECRET = "hunter2-of-the-laboratory"
Serve = Callable[..., str]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """A server that gives one answer to everything, `after` so many seconds; its address, with a password."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, body: object = "no", after: float = 0.0) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                time.sleep(after)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names are http.server's

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://ada:{SECRET}@127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503])
def test_a_registry_that_refuses_is_exit_4(serve: Serve, status: int) -> None:
    registry = Registry(serve(status, {"error_code": "X", "message": "token expired"}))
    asked: tuple[Callable[[], object], ...] = (
        lambda: registry.alias(MODEL, "champion"),
        lambda: registry.set_alias(MODEL, "champion", 1),
        lambda: registry.versions(MODEL),
    )
    for ask in asked:
        start = time.monotonic()
        with pytest.raises(Outside) as caught:
            ask()
        assert time.monotonic() - start < 20
        assert SECRET not in str(caught.value)
        assert str(status) in str(caught.value) or "token expired" in str(caught.value)


def test_a_registry_that_is_slow_but_answers_is_waited_for(serve: Serve) -> None:
    registry = Registry(serve(200, {"model_version": {"name": MODEL, "version": "12", "run_id": "r"}}, after=1.0))
    assert registry.alias(MODEL, "champion") == 12
    found = registry.version(MODEL, 12)
    assert found is not None
    assert found.number == 12, "a server gives text, a file a number"


@pytest.mark.parametrize("body", ["a proxy's page", {"model_version": {"version": "many"}}, []])
def test_an_answer_that_makes_no_sense_is_exit_4(serve: Serve, body: object) -> None:
    with pytest.raises(Outside):
        Registry(serve(200, body)).alias(MODEL, "champion")


@pytest.mark.parametrize("status", [401, 403, 502])
def test_a_remote_that_refuses_the_token_is_exit_4(laboratory: Laboratory, serve: Serve, status: int) -> None:
    laboratory.git("remote", "set-url", "origin", serve(status) + "/lab.git")
    with pytest.raises(Outside, match="origin does not answer") as caught:
        laboratory.promote()
    assert SECRET not in str(caught.value)
    assert laboratory.statuses() == {}


def test_a_ledger_that_has_it_and_a_registry_that_is_away(laboratory: Laboratory, serve: Serve) -> None:
    """A retirement at night needs no registry; the message says what is still to be done."""
    laboratory.promote()
    away = Laboratory(laboratory.root, laboratory.key, serve(503))
    with pytest.raises(
        Outside, match=r"the ledger has it \(retire bpm-faults version 1\), the registry does not"
    ) as no:
        away.retire()
    assert no.value.hint == "beampermit reconcile"
    assert (laboratory.events()[-1], laboratory.champion()) == (("retire", 1), 1)
    laboratory.reconcile()
    assert laboratory.champion() is None


def test_no_command_prints_a_secret(laboratory: Laboratory, serve: Serve) -> None:
    """Not the registry's password, not the remote's, not the signing key: in text and JSON, on stdout and stderr."""
    laboratory.promote()
    registry = serve(401, {"error_code": "UNAUTHENTICATED", "message": "bad credentials"})
    key = laboratory.key.read_text().splitlines()[1]
    permit = laboratory.root.parent / "permit.dsse.json"
    permit.write_bytes(laboratory.sign().content)
    remote = f"{serve(403)}/lab.git"
    calls = (
        (None, "promote", "--permit", str(permit)),
        (None, "retire", "--reason", "why", "--json"),
        (None, "reconcile", "--rebuild"),
        (remote, "rollback", "--reason", "why"),
        (remote, "history", "--json"),
    )
    printed = ""
    for origin, *words in calls:
        if origin:
            laboratory.git("remote", "set-url", "origin", origin)
        found = subprocess.run(
            [sys.executable, "-m", "beampermit.cli.main", *words],
            cwd=laboratory.root,
            env={
                **os.environ,
                "MLFLOW_TRACKING_URI": registry,
                "BEAMPERMIT_SIGNING_KEY": laboratory.key.read_text(),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode in (0, 1, 2, 4), found.stderr
        assert "Traceback" not in found.stderr
        printed += found.stdout + found.stderr
    assert "refused" in printed or "401" in printed or "bad credentials" in printed, "the registry was asked"
    assert "origin does not answer" in printed, "the remote was asked"
    for secret in (SECRET, key):
        assert secret not in printed
