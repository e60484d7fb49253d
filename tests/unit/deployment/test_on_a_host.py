"""The service on a host: procServ starts the real command, and systemd reads the units."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from beampermit.deployment import files
from beampermit.deployment.deployment import deployment_of
from beampermit.project import Project
from support.deployed_project import deployed, deployed_repository
from support.epics import Network, epics, until

__all__ = ["deployed", "deployed_repository", "epics"]
COMMAND = "/opt/beampermit/bin/beampermit"
PROGRAM = f"""#!{sys.executable}
import runpy
try:
    runpy.run_module("beampermit", run_name="__main__")
finally:
    open("ended", "a").close()  # not where it is killed
"""


@pytest.fixture(scope="module")
def made(deployed_repository: Path) -> dict[str, str]:
    return files.texts(deployment_of(Project(deployed_repository)))


def verified(folder: Path, units: dict[str, str]) -> str:
    """What systemd says of units whose command is there."""
    for name, text in units.items():
        (folder / name).write_text(text.replace(COMMAND, "/bin/true"))
    words = ["systemd-analyze", "verify", "--man=no", *(f"./{name}" for name in units)]
    return subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True).stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)")
def test_systemd_has_nothing_to_say_of_the_units(made: dict[str, str], tmp_path: Path) -> None:
    """A setting that it cannot read it leaves out, and starts the service without."""
    units = {name: text for name, text in made.items() if name.endswith(".service")}
    assert len(units) == 2
    assert verified(tmp_path, units) == ""
    (name, unit), *_ = units.items()
    assert "Failed to parse" in verified(tmp_path, {name: unit.replace("WatchdogSec=", "WatchdogSec=about ")})
    joined = unit.replace("SystemCallArchitectures=native\n", "SystemCallArchitectures=native")
    assert joined != unit
    assert "Failed to parse" in verified(tmp_path, {name: joined})


class Placed:
    """The service of the generated configuration, with the folders of a host in `tmp_path`, and an empty ledger."""

    def __init__(self, text: str, access: str, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.etc, self.var, self.log = folder / "etc", folder / "var", folder / "procserv.log"
        for place in (self.etc, self.var):
            place.mkdir()
        subprocess.run(["git", "init", "--bare", folder / "ledger"], check=True)
        (self.etc / "serve.env").write_text(f"REGISTRY=sqlite:///{folder}/mlflow.db\nLEDGER={folder}/ledger\n")
        (self.etc / "access.acf").write_text(access)
        (line,) = re.findall(r"# Without manage-procs: (procServ .*)", text)
        (command,) = re.findall(r"(?m)^command = (.*)$", text)
        program = folder / "beampermit"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        started = shlex.split(command.replace(COMMAND, str(program)))
        words = [*shlex.split(line)[:-2], f"unix:{folder}/control", *started]
        text = "\0".join(words)
        for before, after in (
            ("/etc/bpm-faults", self.etc),
            ("/var/lib/bpm-faults", self.var),
            ("127.0.0.1:8765", self.address),
        ):
            text = text.replace(before, str(after))
        self.words = text.split("\0")

    @contextmanager
    def run(self, variables: dict[str, str]) -> Iterator[psutil.Process]:
        """procServ in the foreground, with a log; all that it started ends with it."""
        command = [self.words[0], "--foreground", "--logfile", str(self.log), *self.words[1:]]
        process = psutil.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            yield process
        finally:
            for one in [*process.children(recursive=True), process] if process.is_running() else []:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()

    def alive(self) -> bool:
        with suppress(httpx.HTTPError):
            return bool(httpx.get(f"http://{self.address}/healthz").json()["alive"])
        return False


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("procServ") is None, reason="needs procServ (Debian: procserv)")
def test_procserv_starts_the_service_again_and_its_console_ends_it_in_order(
    made: dict[str, str], tmp_path: Path, epics: Network
) -> None:
    placed = Placed(made["bpm-faults.procserv.conf"], made["access.acf"], tmp_path)
    with placed.run({**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}) as server:
        until(placed.alive, 60)
        (first,) = server.children()
        assert first.cwd() == str(placed.var)
        first.send_signal(signal.SIGKILL)
        until(lambda: [one for one in server.children() if one.pid != first.pid] and placed.alive(), 60)
        (second,) = server.children()
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(str(tmp_path / "control"))
            console.sendall(b"\x18")  # ^X
            until((placed.var / "ended").exists, 30)
        until(lambda: not second.is_running(), 30)
        server.terminate()
        assert server.wait(30) == 0
    said = placed.log.read_text(errors="replace")
    assert said.count("questions, health and metrics at http://") == 2, "its words are not in the log"
    assert "The process was killed by signal 9" in said
    assert "Normal exit status = 0" in said
