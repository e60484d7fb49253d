"""Units on a cluster of a real Dask Gateway, whose workers are processes of this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from beampermit.compute import dask
from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.gateway import NOT_CONFIGURED, let_go
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Unit
from beampermit.errors import BadInput, Outside
from support.units_of_work import wait_for

pytestmark = pytest.mark.slow
PASSWORD = "hunter2-of-the-gateway"
HOLD = "hold"
"""A file: while it is there, no scheduler starts."""
WAITS = 'while [ -e "$0" ]; do sleep 0.05; done; exec "$@"'
SETTINGS = """\
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = {password!r}
c.DaskGateway.address = "127.0.0.1:{api}"
c.Proxy.address = "127.0.0.1:{proxy}"
c.LocalBackend.clusters_directory = c.UnsafeLocalBackend.clusters_directory = {folder!r}
c.ClusterConfig.scheduler_cmd = ["sh", "-c", {waits!r}, {hold!r}, {dask!r}, "scheduler"]
c.ClusterConfig.worker_cmd = [{dask!r}, "worker"]
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_memory = "1 G"
c.ClusterConfig.environment = {environment!r}
"""


@dataclass
class Place:
    """A gateway on free ports."""

    folder: Path
    server: subprocess.Popen[bytes]
    proxy: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.proxy}"

    def stop(self) -> None:
        self.server.terminate()  # it ends what it started
        with suppress(subprocess.TimeoutExpired):
            self.server.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    said = ""
    for _ in range(5):
        found = started(tmp_path_factory.mktemp("gateway"))
        try:
            wait_for(lambda found=found: found.server.poll() is not None or answers(found.proxy))
            if found.server.poll() is None:
                yield found
                return
        finally:
            found.stop()
        said = (found.folder / "log").read_text()[-2000:]
    pytest.fail(f"the gateway ended each time: {said}")


def started(folder: Path) -> Place:
    """On ports that are free now: another program may take one before the gateway does, which then ends."""
    with socket.socket() as one, socket.socket() as other:
        for found in (one, other):
            found.bind(("127.0.0.1", 0))
        api, proxy = one.getsockname()[1], other.getsockname()[1]
    (folder / "clusters").mkdir()
    environment = {"BEAMPERMIT_CACHE": str(folder / "cache"), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    words = {"password": PASSWORD, "api": api, "proxy": proxy, "folder": str(folder / "clusters")}
    words |= {"waits": WAITS, "hold": str(folder / HOLD)}
    program = str(Path(sys.executable).with_name("dask"))
    (folder / "settings.py").write_text(SETTINGS.format(**words, dask=program, environment=environment))
    command = [sys.executable, "-m", "dask_gateway_server", "-f", str(folder / "settings.py")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    return Place(folder, server, proxy)


def answers(port: int) -> bool:
    from urllib.request import urlopen

    with suppress(OSError):
        return urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5).status == 200
    return False


@pytest.fixture
def gateway(place: Place) -> Iterator[Any]:
    """The gateway as its user sees it, with the login in Dask's configuration."""
    import dask.config as configuration
    from dask_gateway import Gateway

    login = {"type": "basic", "kwargs": {"username": "ada", "password": PASSWORD}}
    with configuration.set({"gateway.address": place.address, "gateway.auth": login}):
        found = Gateway()
        yield found
    let_go(found)


@contextmanager
def begun(gateway: Any) -> Iterator[str]:
    """A cluster that is asked for, by name, and ended."""
    name = gateway.submit()
    try:
        yield name
    finally:
        gateway.stop_cluster(name)


def test_units_run_on_a_cluster_of_the_gateway_which_goes_on(
    place: Place, gateway: Any, work: Path, unit_of: Callable[..., Unit], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dask_gateway import GatewayCluster

    monkeypatch.setattr(dask.Dask, "late", 0.1)
    with pytest.raises(BadInput, match="is the one cluster of yours, and you have none: make one where you work"):
        open_executor("dask-gateway://", Resources(), work).__enter__()
    hold = place.folder / HOLD
    hold.touch()
    with begun(gateway) as cluster:
        for on in (cluster, ""):
            with pytest.raises(BadInput, match=f"the cluster {cluster} is PENDING: run this again when it is RUNNING"):
                open_executor(f"dask-gateway://{on}", Resources(), work).__enter__()
        hold.unlink()
        wait_for(lambda: gateway.get_cluster(cluster).status.name == "RUNNING")
        gateway.scale_cluster(cluster, 1)
        for on in (cluster, ""):
            with open_executor(f"dask-gateway://{on}", Resources(), work) as executor:
                ended = list(perform_all(iter([unit_of(1), unit_of(len(on) + 2)]), executor, work))
            assert {one.result["x"] for one in ended if one.result} == {1, (len(on) + 2) ** 2}
        with pytest.raises(BadInput, match=r"Dask Gateway: .*no-such-cluster"):
            open_executor("dask-gateway://no-such-cluster", Resources(), work).__enter__()
        with monkeypatch.context() as patch:
            opened: list[Any] = []
            patch.setattr(GatewayCluster, "get_client", lambda found, **_: opened.append(found) or fail())
            with pytest.raises(Outside, match="no sockets left"):
                open_executor(f"dask-gateway://{cluster}", Resources(), work).__enter__()
            assert [(one.name, one.status) for one in opened] == [(cluster, "closed")]
        assert [one.status.name for one in gateway.list_clusters()] == ["RUNNING"]


def fail() -> None:
    raise OSError("no sockets left")


def test_a_gateway_that_is_not_there_or_not_known_is_said(work: Path) -> None:
    import dask.config as configuration

    with pytest.raises(BadInput, match="Dask's configuration names no Dask Gateway") as caught:
        open_executor("dask-gateway://ada", Resources(), work).__enter__()
    assert caught.value.hint == NOT_CONFIGURED
    with configuration.set({"gateway.address": "http://127.0.0.1:9"}), pytest.raises(Outside) as gone:
        open_executor("dask-gateway://ada", Resources(), work).__enter__()
    assert gone.value.message.startswith("Dask Gateway at http://127.0.0.1:9: Cannot connect to host 127.0.0.1:9")
    with pytest.raises(BadInput, match="stand in Dask's own configuration"):
        open_executor("dask-gateway://ada:secret@host/cluster", Resources(), work)
