"""`beampermit serve` anywhere: from an empty folder, and as the same process again for other PVs, or none."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from beampermit.live.promoted import Wanted
from beampermit.live.promoted.served import read_served
from beampermit.permit.keys import generate_keys
from support.epics import Network, epics, pva_server, soft_ioc, until
from support.epics import client as a_client
from support.loopback import free_port
from support.promoted_project import Followed
from support.registry_project import MODEL, Laboratory

__all__ = ["epics"]
PATIENCE = 120.0
CONNECTED = re.compile(
    rf"; connected: 1 client: {re.escape(getpass.getuser())} at 127\.0\.0\.1:\d+ \(CA, 1 PV, first B1:X:FAULT\)"
)
"""Of the version that is retired, in the service's log."""
STATES = {"READY=1", "RELOADING=1", "STOPPING=1"}


@pytest.mark.slow
def test_it_begins_from_nothing_and_starts_again_without_pvs_and_for_others(
    wanted: Wanted, followed: Followed, epics: Network
) -> None:
    """Bytes, environment, records and processes are real; its inputs are nowhere, so that no version ever answers."""
    url, state = f"http://127.0.0.1:{free_port()}", wanted.state.parent / "served"
    words = ["--model", MODEL, "--ledger", wanted.repository.address, "--registry", wanted.registry]
    words += ["--state", str(state), "--follow", "0.5", "--http", url.removeprefix("http://")]
    said = wanted.state.parent / "service.log"
    with epics.place() as place, said.open("wb") as log, systemd() as (variables, told):
        command = [sys.executable, "-m", "beampermit.cli.main", "serve", *words]
        service = subprocess.Popen(command, env={**epics.server(place), **variables}, stdout=log, stderr=log)
        try:
            until(lambda: "B1:X:TBT has sent nothing yet" in get(f"{url}/status").get("reason", ""), PATIENCE)
            assert set(get(f"{url}/outputs")) == {"B1:X:FAULT", "B2:Y:FAULT"}
            began = psutil.Process(service.pid).create_time()
            with soft_ioc(epics, {"B2:Y:OTHER": 0.5}):
                promote_with_other_pvs(followed, state)
                until(lambda: b" serves B2:Y:OTHER already" in said.read_bytes(), PATIENCE)
                until(lambda: any(line.startswith("STATUS=version 2, champion") for line in told), PATIENCE)
                assert set(get(f"{url}/outputs")) == {"B1:X:FAULT", "B2:Y:FAULT"}
            followed.write("freeze")  # whatever is new in the ledger, what failed is tried again
            until(lambda: b"version 2 runs beside the champion" in said.read_bytes(), PATIENCE)
            assert set(get(f"{url}/outputs")) == {"B1:X:FAULT", "B2:Y:FAULT"}, "it may never answer"
            with a_client(epics, "aioca") as reader:
                reader.get("B1:X:FAULT")
                followed.write("retire", until="2026-01-01T00:00:00Z")
                until(lambda: CONNECTED.search(said.read_text()), PATIENCE)
            until(lambda: b"nothing is served: the last day of the PVs is over" in said.read_bytes(), PATIENCE)
            followed.write("rollback", 2)
            until(lambda: set(get(f"{url}/outputs")) == {"B1:X:OTHER", "B2:Y:OTHER"}, PATIENCE)
            until(lambda: get(f"{url}/status").get("status") == "STARTING", PATIENCE)
            assert psutil.Process(service.pid).create_time() == began
            kept = read_served(state)
            assert kept is not None
            assert kept.version == 2
            service.send_signal(signal.SIGTERM)
            assert service.wait(PATIENCE) == 0
        except BaseException:
            sys.stderr.write(said.read_text()[-5000:])
            raise
        finally:
            service.kill()
            service.wait()
    (refused,) = [json.loads(line) for line in said.read_text().splitlines() if "B2:Y:OTHER already" in line]
    assert re.fullmatch(r"version 2: \S+:\d+ serves B2:Y:OTHER already", refused["message"])
    assert (refused["level"], refused["hint"]) == ("warning", "end that server, or serve from one machine only")
    shown = next(line for line in told if "B2:Y:OTHER already" in line)
    assert re.search(r"cannot be served: \S+:\d+ serves B2:Y:OTHER already; version 1 goes on$", shown)
    assert said.read_text().count("the service starts again") == 1
    assert [line for line in told if line in STATES] == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    assert "WATCHDOG=1" in told


@pytest.mark.slow
def test_it_ends_with_3_where_an_output_is_served_already(wanted: Wanted, followed: Followed, epics: Network) -> None:
    state = wanted.state.parent / "served"
    words = ["--model", MODEL, "--ledger", wanted.repository.address, "--state", str(state)]
    command = [sys.executable, "-m", "beampermit.cli.main", "serve", *words]
    records, structure = {"B1:X:FAULT": 0.5, "B2:Y:FAULT": 0.5}, {"B2:Y:FAULT": {"nt": "d", "value": 0.5}}
    for other, said in (
        (soft_ioc(epics, records), r"\S+:\d+ serves B1:X:FAULT already, and 1 more"),
        (pva_server(epics, structure), r"somebody, over PVA, serves B2:Y:FAULT already"),
    ):
        with other, epics.place() as place:
            ended = subprocess.run(
                command, env=epics.server(place), capture_output=True, text=True, check=False, timeout=PATIENCE
            )
        assert ended.returncode == 3, ended.stderr
        *_, error, hint = ended.stderr.strip().splitlines()
        assert re.search(rf"{said}$", error), ended.stderr
        assert "end that server, or serve from one machine only" in hint
        assert ("`pvinfo B2:Y:FAULT` says where it is" in hint) is ("over PVA" in said)
    assert not (state / "models").exists() or not any((state / "models").iterdir()), "nothing was fetched before"


@pytest.mark.slow
@pytest.mark.parametrize("ledger", ["empty", "not there"])
def test_a_service_that_has_nothing_to_follow_has_started_and_lives(
    tmp_path: Path, epics: Network, ledger: str
) -> None:
    """systemd would end a start after 15 minutes, again and again, until something is promoted."""
    if ledger == "empty":
        begin_repository(tmp_path / "ledger")
    words = ["--model", MODEL, "--ledger", str(tmp_path / "ledger"), "--state", str(tmp_path / "state")]
    command = [sys.executable, "-m", "beampermit.cli.main", "serve", *words, "--follow", "0.5"]
    status = f"STATUS=no version of {MODEL} was ever promoted"
    if ledger == "not there":
        status = "STATUS=no champion could be verified: "
    with epics.place() as place, systemd() as (variables, told):
        service = subprocess.Popen(command, env={**epics.server(place), **variables})
        try:
            until(lambda: told.count("WATCHDOG=1") > 2 or service.poll() is not None, PATIENCE)
            service.send_signal(signal.SIGTERM)
            assert service.wait(PATIENCE) == 0
        finally:
            service.kill()
            service.wait()
    assert [line for line in told if line in STATES] == ["READY=1", "STOPPING=1"]
    with_it = told[told.index("READY=1") :]
    assert next(line for line in with_it if line.startswith("STATUS=")).startswith(status), "as systemctl status has it"


def begin_repository(folder: Path) -> None:
    """With a key, by which no permit was ever signed."""
    _, public = generate_keys(folder.with_name("keys"))
    (folder / ".github").mkdir(parents=True)
    shutil.copy(public, folder / ".github/permit.pub")
    who = ("-c", "user.name=Ada Operator", "-c", "user.email=ada@lab.example")
    for words in (("init", "--quiet", "--initial-branch", "main"), ("add", "."), (*who, "commit", "-qm", "Begin")):
        subprocess.run(["git", *words], cwd=folder, check=True)


@contextmanager
def systemd() -> Iterator[tuple[dict[str, str], list[str]]]:
    """What systemd starts a service with, and all lines that the service tells it."""
    told: list[str] = []
    name = f"beampermit-{uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")

        def listen() -> None:
            while said := listener.recv(4096):
                told.extend(said.decode().split("\n"))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "4000000"}, told
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.sendto(b"", f"\0{name}")
            thread.join(PATIENCE)


def promote_with_other_pvs(followed: Followed, state: Path) -> None:
    """Version 2, whose bytes are on this machine already: MLflow would take seconds to give them."""
    lab: Laboratory = followed.lab
    contract = lab.root / "contract.yaml"
    contract.write_text(contract.read_text().replace(":FAULT", ":OTHER"))
    shutil.copy(contract, lab.root / "model/artifacts/contract.yaml")
    lab.model(3)
    model = followed.have_the_model()
    shutil.copytree(model, state / "models" / model.name)
    followed.promote(3)


def get(url: str) -> dict[str, Any]:
    """Nothing while nobody answers."""
    with suppress(httpx.HTTPError):
        return client().get(url).json()
    return {}


@cache
def client() -> httpx.Client:
    """One, for each reads the certificates of the world."""
    return httpx.Client(timeout=20, trust_env=False)
