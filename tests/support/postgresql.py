"""A real PostgreSQL in a temporary folder, on a port of its own, for one test; skipped where none is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PLACES = "/usr/lib/postgresql/*/bin"
PASSWORD = "s3cret-of-ada"
UNPRIVILEGED = 65534
"""PostgreSQL refuses to run as root."""


def programs() -> Path | None:
    """The folder of the newest version's programs."""
    found = sorted(Path("/").glob(f"{PLACES[1:]}/initdb"))
    return found[-1].parent if found else None


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The address of an empty database, with user and password."""
    with database_server() as address:
        yield address


@contextmanager
def database_server() -> Iterator[str]:
    """As the fixture `postgresql`, for whoever shares a server between tests."""
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
    data = place / "data"
    quiet = {"capture_output": True, "cwd": place}
    settings = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [folder / "pg_ctl", "-D", data, "-w", "-l", place / "log"]
    try:
        options = ["--auth=scram-sha-256", "--username=ada", f"--pwfile={place / 'password'}", "--no-sync"]
        subprocess.run([folder / "initdb", "-D", data, *options], check=True, **quiet, **who)
        subprocess.run([*control, "-o", settings, "start"], check=True, **quiet, **who)
        yield f"postgresql://ada:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], cwd=place, capture_output=True, check=False, **who)
        shutil.rmtree(place, ignore_errors=True)
