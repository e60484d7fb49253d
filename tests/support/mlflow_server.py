"""The MLflow server of `deploy/mlflow`, run on loopback from what its compose file says, without containers.

A service is its command, with its variables and no others, in the packages of the image's lock. The database is
Debian's PostgreSQL, the object store is moto's.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from support import postgresql
from support.loopback import free_port
from support.shared import made_once, shared_folder

FOLDER = Path(__file__).parents[2] / "deploy/mlflow"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<other>[^}]*))?\})")
UNREACHABLE = re.compile(r"dns error|error sending request|Failed to fetch|connection refused|timed out|offline", re.I)
PATIENCE = 600.0
"""Seconds that the server may take to start on a machine with other things to do."""
SECRET = re.compile(r"PASSWORD|SECRET")
IMAGE = {"setup.py": "/opt/setup.py", "objects.py": "/opt/objects.py"}
"""Files that the Containerfile puts into the image."""


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """`text` with its variables, as compose fills them in."""

    def one(found: re.Match[str]) -> str:
        if not found["name"]:
            return "$"
        value = values.get(found["name"], "")
        if value or found["kind"] is None:
            return value
        assert found["kind"] == ":-", f"{found['name']} is not set: {found['other']}"
        return found["other"]

    return VARIABLE.sub(one, text)


@dataclass
class Deployed:
    """The services of the compose file, in `folder`, with the values of an `.env`."""

    folder: Path
    programs: tuple[Path, ...]
    values: dict[str, str]
    port: int
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "server.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def password(self, account: str) -> str:
        return self.values[f"{account.upper()}_PASSWORD"]

    def run(self, service: str, *words: str) -> str:
        """What a service of administration says. Fails the test where it ends with another code than 0."""
        done = self.ended(service, *words)
        assert done.returncode == 0, f"{service}: {done.stdout}{done.stderr}"
        return done.stdout

    def ended(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self._command(service), *words]
        return subprocess.run(
            command, env=self._environment(service), cwd=self.folder, capture_output=True, text=True, check=False
        )

    @contextmanager
    def served(self) -> Iterator[None]:
        """While the service `mlflow` runs, from when its own health check passes."""
        with self.log.open("a") as stream:
            process = subprocess.Popen(
                self._command("mlflow"),
                env=self._environment("mlflow"),
                cwd=self.folder,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            self._wait(process)
            yield
        finally:
            # It has children, and takes half a minute to end by itself.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        mark, *check = (self._in_place("mlflow", word) for word in COMPOSE["services"]["mlflow"]["healthcheck"]["test"])
        assert mark == "CMD"
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and process.poll() is None:
            # A health check is a process, which costs the start its share of the machine.
            if self._listens():
                asked = subprocess.run(check, env=self._environment("mlflow"), capture_output=True, check=False)
                if asked.returncode == 0:
                    return
            time.sleep(1)
        pytest.fail(f"the server did not start: {self.log.read_text()[-2000:]}")

    def _listens(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0

    def _command(self, service: str) -> list[str]:
        said = COMPOSE["services"][service]
        return [self._in_place(service, word) for word in (*said.get("entrypoint", ()), *said.get("command", ()))]

    def _environment(self, service: str) -> dict[str, str]:
        given = COMPOSE["services"][service]["environment"]
        said = {name: self._in_place(service, str(value)) for name, value in given.items()}
        return {"PATH": os.pathsep.join(map(str, (*self.programs, "/usr/bin", "/bin"))), "LANG": "C.UTF-8", **said}

    def _in_place(self, service: str, text: str) -> str:
        """A word of the file, with the paths and ports of this machine in place of the container's."""
        text = filled_in(text, self.values)
        for path in self._places(service).items():
            text = text.replace(*path)
        # The one host of the containers' network is here loopback.
        text = re.sub(r"\b(mlflow|127\.0\.0\.1):5000\b", f"127.0.0.1:{self.port}", text)
        return {
            "--port=5000": f"--port={self.port}",
            "--host=0.0.0.0": "--host=127.0.0.1",
            "/tmp": str(self.folder),
        }.get(text, text)

    def _places(self, service: str) -> dict[str, str]:
        """Path in the container -> path here."""
        places = {inside: str(FOLDER / name) for name, inside in IMAGE.items()}
        for mount in COMPOSE["services"][service].get("volumes", ()):
            outside, inside = filled_in(mount, self.values).removesuffix(":ro").rsplit(":", 1)
            places[inside] = str((FOLDER / outside).resolve())
        return places


@contextmanager
def deployment(folder: Path, factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The deployment in `folder`, which is not started; skipped where this machine lacks a part of it."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    with postgresql.database_server() as database:
        packages = installed(factory)
        store = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        store.start()
        try:
            (folder / "backup").mkdir(parents=True)
            host, port = store.get_host_and_port()
            found = postgresql.programs()
            assert found is not None
            words = [found / "psql", "-q", database, "-c", "CREATE DATABASE mlflow"]
            subprocess.run(words, check=True, capture_output=True)
            values = _values(database, f"http://{host}:{port}", folder)
            yield Deployed(folder, (packages / "bin", found), values, free_port())
        finally:
            store.stop()


def _values(database: str, endpoint: str, folder: Path) -> dict[str, str]:
    """The lines of `.env`: each name of the example, which is all that the compose file asks for."""
    parts = urlsplit(database)
    known = {
        "MLFLOW_HOST": "localhost",
        "BACKUP": str(folder / "backup"),
        "CERTIFICATES": str(folder / "certificates"),
        "DATABASE_HOST": str(parts.hostname),
        "DATABASE_PORT": str(parts.port),
        "DATABASE_USER": str(parts.username),
        "DATABASE_PASSWORD": str(parts.password),
        # What the compose file calls it; made here, so that a test can lose it.
        "DATABASE_NAME": "mlflow",
        "STORE_ENDPOINT": endpoint,
        "STORE_ACCESS_KEY": "mlflow",
    }
    names = re.findall(r"^#?([A-Z_]+)=", (FOLDER / ".env.example").read_text(), re.MULTILINE)
    assert known.keys() <= set(names)
    return {name: known.get(name) or (secrets.token_hex(24) if SECRET.search(name) else "") for name in names}


def installed(factory: pytest.TempPathFactory) -> Path:
    """An environment with the packages of the image, made once; skipped where no index is reached."""

    def make(folder: Path) -> None:
        tool = Path(sys.executable).with_name("uv")
        subprocess.run([tool, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder], check=True)
        words = ["pip", "sync", "--quiet", "--require-hashes", "--python", folder / "bin/python"]
        done = subprocess.run([tool, *words, FOLDER / "requirements.lock"], capture_output=True, text=True, check=False)
        if done.returncode and UNREACHABLE.search(done.stderr):
            pytest.skip(f"no index of packages is reached: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr

    return made_once(shared_folder(factory) / "mlflow-server", make)
