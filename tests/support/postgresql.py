"""A real PostgreSQL in a temporary folder, on a port of its own, for one test; skipped where none is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

PLACES = "/usr/lib/postgresql/*/bin"
PASSWORD = "s3cret-of-ada"
UNPRIVILEGED = 65534
"""PostgreSQL refuses to run as root."""


def programs() -> Path | None:
    """The folder of the newest version's programs."""
    found = sorted(Path("/").glob(f"{PLACES[1:]}/initdb"))
    return found[-1].parent if found else None


@dataclass(frozen=True)
class Server:
    """`address` is that of an empty database, with user and password."""

    address: str
    place: Path
    port: int
    programs: Path
    who: dict[str, Any]

    def start(self) -> None:
        settings = f"-p {self.port} -k {self.place} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._control("-o", settings, "start", check=True)

    def stop(self) -> None:
        self._control("-m", "immediate", "stop", check=False)

    def kill(self) -> None:
        """SIGKILL for all its processes, as where the machine is gone."""
        first = psutil.Process(int((self.place / "data/postmaster.pid").read_text().split()[0]))
        processes = [first, *first.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=30)

    def _control(self, *words: str, check: bool) -> None:
        command = [self.programs / "pg_ctl", "-D", self.place / "data", "-w", "-l", self.place / "log", *words]
        subprocess.run(command, cwd=self.place, capture_output=True, check=check, **self.who)


@pytest.fixture
def postgresql(postgresql_server: Server) -> str:
    """The address of an empty database, with user and password."""
    return postgresql_server.address


@pytest.fixture
def postgresql_server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@contextmanager
def database_server() -> Iterator[str]:
    """As the fixture `postgresql`, for whoever shares a server between tests."""
    with running_server() as server:
        yield server.address


@contextmanager
def running_server() -> Iterator[Server]:
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'beampermit[postgresql]'")
    place = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    root = os.getuid() == 0
    who = {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []} if root else {}
    (place / "password").write_text(PASSWORD)
    if root:
        for path in (place, place / "password"):
            os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    server = Server(f"postgresql://ada:{PASSWORD}@127.0.0.1:{port}/postgres", place, port, folder, who)
    try:
        options = ["--auth=scram-sha-256", "--username=ada", f"--pwfile={place / 'password'}", "--no-sync"]
        command = [folder / "initdb", "-D", place / "data", *options]
        subprocess.run(command, check=True, capture_output=True, cwd=place, **who)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)
