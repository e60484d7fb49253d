"""A real `mlflow server` on loopback, which returns versions as text, and a proxy that loses a reply."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from beampermit.digest import digest_folder
from beampermit.registry import models
from support.loopback import listening
from support.registry_project import MODEL, Laboratory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]
PATIENCE = 180.0
"""Seconds that a server may take to start on a machine with other things to do."""


@pytest.fixture
def server(tmp_path: Path, database: Path) -> Iterator[str]:
    """The URL of a server; skipped where MLflow is installed without its server."""
    command = shutil.which("mlflow", path=Path(sys.executable).parent)
    if command is None:
        pytest.skip("MLflow is installed without its command")
    shutil.copy(database, tmp_path / "server.db")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = ("127.0.0.1", free.getsockname()[1])
    words = [f"--host={address[0]}", f"--port={address[1]}", "--workers=1"]
    words += [f"--backend-store-uri=sqlite:///{tmp_path / 'server.db'}", f"--artifacts-destination={tmp_path / 'kept'}"]
    log = tmp_path / "server.log"
    # Its six processes for jobs of its own take longer to start than the server.
    variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [command, "server", *words], stdout=stream, stderr=stream, start_new_session=True, env=variables
        )
    try:
        yield _started(process, f"http://{address[0]}:{address[1]}", log)
    finally:
        if process.poll() is None:
            # It has children, and takes half a minute to end by itself.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _started(process: subprocess.Popen[bytes], uri: str, log: Path) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            last = (log.read_text().strip().splitlines() or ["it said nothing"])[-1]
            pytest.skip(f"mlflow server does not run here, the whole of MLflow is needed: {last}")
        try:
            if httpx.get(f"{uri}/health").is_success:
                return uri
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    pytest.fail(f"mlflow server did not start in {PATIENCE:.0f} s: {log.read_text()[-500:]}")


@pytest.fixture
def losing(server: str) -> Iterator[Callable[[str], str]]:
    """A proxy before the server that answers 502 to the first request of a path that the server has carried out."""
    proxies = ExitStack()

    def start(path: str) -> str:
        lost = [path]

        class Proxy(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                found = httpx.request(self.command, server + self.path, content=content, headers=headers, timeout=60)
                # The server has done it; who asked is not told.
                lose = self.path.endswith(lost[0]) if lost else False
                if lose:
                    lost.clear()
                self.send_response(502 if lose else found.status_code)
                answer = b"Bad Gateway" if lose else found.content
                self.send_header("Content-Type", found.headers.get("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names are http.server's

            def log_message(self, format: str, *args: object) -> None:
                pass

        return f"http://127.0.0.1:{proxies.enter_context(listening(Proxy))}"

    with proxies:
        yield start


def test_a_model_s_life_over_rest(
    laboratory: Laboratory, server: str, losing: Callable[[str], str], tmp_path: Path
) -> None:
    """One test, because a server takes long to start."""
    lab = Laboratory(laboratory.root, laboratory.key, server)
    lab.promote()
    assert lab.statuses() == {1: "champion"}

    lab.change(2)
    Laboratory(lab.root, lab.key, losing("/model-versions/create")).promote()
    assert lab.statuses() == {1: "former", 2: "champion", 3: ""}, "asked twice for a version, the lower one counts"
    assert lab.events() == [("promote", 1), ("promote", 2)]

    lab.rollback()
    assert (lab.champion(), lab.events()[-1]) == (1, ("rollback", 1))
    lab.registry.set_alias(MODEL, "champion", 3)
    assert lab.reconcile() == ("alias champion moved from version 3 to version 1",)
    assert lab.reconcile() == ()
    assert digest_folder(models.fetch_model(lab.last(), tmp_path / "models", server)) == lab.last().digest

    lab.retire()
    assert (lab.champion(), lab.registry.state(MODEL)) == (None, "out of service")
    assert lab.statuses() == {1: "retired", 2: "former", 3: ""}
    assert not lab.retire().new
