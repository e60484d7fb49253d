"""A unit on several GPUs or machines: torchrun of its environment starts a process for each GPU."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from beampermit.compute.server import SERVER, Run
from beampermit.compute.unit import LOG, STOP
from beampermit.errors import Outside
from beampermit.processes import start, stop

LOOK = 0.25
OF_THE_JOB = (
    *("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTER_NAME", "SLURM_WORKING_CLUSTER", "SLURM_JOB_ID"),
    *("SLURM_JOB_NODELIST", "SLURM_JOB_NUM_NODES", "SLURM_JOB_CPUS_PER_NODE", "SLURM_JOB_PARTITION"),
    *("SLURM_MEM_PER_CPU", "SLURM_MEM_PER_NODE", "SLURM_GPUS_PER_NODE"),
)
"""What srun knows a job by: no more of the step that we are, and none of the user's."""
GRACE = 10.0
"""Seconds that all of its processes may take to end."""


@dataclass(frozen=True)
class Team:
    """So many machines of this job of SLURM, and as many processes on each as it has GPUs, or one."""

    nodes: int = 1
    gpus: int = 0
    cores: int = 1

    @property
    def count(self) -> int:
        return self.nodes * max(self.gpus, 1)

    def run(
        self,
        python: Path,
        module: str,
        variables: Mapping[str, str],
        folder: Path,
        seconds: float,
        closed: Callable[[], bool],
    ) -> Run:
        """Run a module in a unit's folder, as `Server.run` does. Raises `Outside` where there is no srun."""
        child = self._started(python, module, variables, folder)
        last = time.monotonic() + seconds if seconds else float("inf")
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return Run(child.wait(min(LOOK, max(last - time.monotonic(), 0.0))), "")
                if closed():
                    raise Outside("the worker was closed", file=folder)
                if (folder / STOP).exists():
                    return Run(-signal.SIGKILL, "stopped")
                if time.monotonic() > last:
                    return Run(-signal.SIGKILL, "time")
        finally:
            if child.stdin:
                child.stdin.close()  # whoever attends to torchrun ends it with its processes
            elif child.poll() is None:
                child.terminate()  # srun ends its tasks; killed, it leaves them
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE)
            stop(child)

    def _started(self, python: Path, module: str, variables: Mapping[str, str], folder: Path) -> subprocess.Popen[str]:
        meeting = ["--standalone"]
        srun: list[str] = []
        if self.nodes > 1:
            known = {name: os.environ[name] for name in OF_THE_JOB if name in os.environ}
            variables, srun = {**variables, **known}, self._srun(folder)
            place = f"{_name_of_this_machine()}:{_free_port()}"
            meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={place}", f"--rdzv-id={folder.name[:16]}"]
        torchrun = [str(python), "-P", "-m", "torch.distributed.run", *meeting]
        attended = srun or [str(python), "-P", str(SERVER), "--attend"]  # its processes lead sessions of their own
        command = [
            *attended,
            *torchrun,
            f"--nnodes={self.nodes}",
            f"--nproc-per-node={max(self.gpus, 1)}",
            "-m",
            module,
        ]
        log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(log, "ab", buffering=0) as out:
                stdin = subprocess.DEVNULL if srun else subprocess.PIPE
                env = {**variables, "PYTHONSAFEPATH": "1"}
                return start(command, cwd=folder, env=env, stdin=stdin, stdout=out, stderr=out)
        except FileNotFoundError:
            raise Outside("this machine has no srun, which reaches the other machines of the job") from None

    def _srun(self, folder: Path) -> list[str]:
        srun = shutil.which("srun")
        if srun is None or "SLURM_JOB_ID" not in os.environ:
            raise Outside("several machines are reached by srun in a job of SLURM", file=folder)
        place = [f"--nodes={self.nodes}", f"--ntasks={self.nodes}", "--ntasks-per-node=1", f"--chdir={folder}"]
        place.append("--mem=0")  # the job's, which the step that we are has as well: there is no other
        return [srun, "--overlap", "--kill-on-bad-exit=1", "--export=ALL", f"--cpus-per-task={self.cores}", *place]


def team_of(nodes: int, gpus: int, cores: int) -> Team | None:
    """The team of a unit; None where one process is all."""
    team = Team(nodes, gpus, cores)
    return team if team.count > 1 else None


def _name_of_this_machine() -> str:
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")
    return name


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])
