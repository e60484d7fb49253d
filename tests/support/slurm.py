"""A real SLURM on this machine, without systemd: munged, slurmctld and one or two nodes, in a temporary folder.

    def test_it(slurm: Slurm) -> None:
        assert slurm("sinfo", "--noheader", "--format=%T").strip() == "idle"

The fixture is of the session, and of each process of pytest-xdist: ports are free ones. `os.environ` holds
`SLURM_CONF`, so commands of this process find it. A node has 8 CPUs and 64000 MiB on paper, and two GPUs that are none;
a job that takes more memory than it asked for is ended within a second or two. Partition `normal` is the default; a job
of `urgent` has those of `normal` queued again, which then start after 20 s (`cred_expire`). While the file `fails` is
in the folder, nodes start no job. It ends with the session, killed or not.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel", "srun")
PATIENCE = 60.0
PATIENT, QUICK = 60, 10
"""Seconds for which a daemon waits for another one's answer, and a command for the controller's. A slurmd that answers
later has its jobs started on another node."""
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=20
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=4000
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=sched_min_interval=1,batch_sched_delay=0,sched_interval=1,bf_interval=1,requeue_delay=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
MaxArraySize={array}
MinJobAge=2
KillWait=2
InactiveLimit=0
SlurmdTimeout={patience}
MessageTimeout={patience}
Prolog={folder}/prolog
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PartitionName=normal Nodes=ALL Default=YES MaxTime=60 PriorityTier=1 State=UP
PartitionName=urgent Nodes=ALL DefaultTime=30 MaxTime=60 PriorityTier=10 PreemptMode=OFF State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=64000 Gres=gpu:2"
MAX_ARRAY = 25
"""Elements of an array; a cluster's default is 1001."""


class Slurm:
    """Calls its commands; `kill` and `start` act on one of `munged`, `slurmctld`, or a node."""

    def __init__(self, folder: Path, nodes: list[str], child: subprocess.Popen[str]):
        self.folder, self.nodes, self._child = folder, nodes, child

    def __call__(self, *command: str | Path, check: bool = True) -> str:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + ("" if check else done.stderr)

    def kill(self, daemon: str) -> None:
        self._tell("kill", daemon)

    def start(self, daemon: str) -> None:
        self._tell("start", daemon)

    def fail(self, fails: bool) -> None:
        """Whether nodes start no job. Each that tried is out of service then, until `clear`."""
        flag = self.folder / "fails"
        flag.touch() if fails else flag.unlink(missing_ok=True)

    def clear(self) -> None:
        """No job is left, and every node is idle."""
        self.fail(False)
        self("scancel", f"--user={_user()}", "--signal=KILL", "--full", check=False)
        self("scancel", f"--user={_user()}", check=False)
        until(lambda: not self("squeue", "--noheader"), self)
        for node in self.nodes:  # one that could start no job, or did not answer
            if "idle" not in self("sinfo", "--noheader", f"--nodes={node}", "--format=%T"):
                self("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        until(self.idle, self)

    def idle(self) -> bool:
        return set(self("sinfo", "--noheader", "--Node", "--format=%T").split()) == {"idle"}

    def left(self) -> str:
        """What there is, and what the daemons say."""
        logs = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        said = [f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in logs]
        jobs = self("squeue", "--array", "--format=%i %j %T %r %N", check=False)
        return "\n".join([jobs, self("sinfo", "--Node", "--format=%N %T %E", check=False), *said])

    def _tell(self, word: str, daemon: str) -> None:
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(f"{word} {daemon}\n")
        self._child.stdin.flush()
        assert self._child.stdout.readline() == f"{word}\n"


@pytest.fixture(scope="session")
def slurm_session() -> Iterator[Slurm]:
    if missing := [name for name in NEEDED if shutil.which(name, path=_path()) is None]:
        pytest.skip(f"needs SLURM (Debian: slurm-wlm and munge): no {', '.join(missing)}")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_"))]:
            patch.delenv(name)
        patch.setenv("PATH", _path())
        # A socket's path has at most 107 characters: the folder of pytest is too deep.
        folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # the child removes it
        nodes = _configured(folder)
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        child = stack.enter_context(
            subprocess.Popen(
                [sys.executable, Path(__file__).with_name("slurm_child.py"), folder, *nodes],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        assert child.stdout
        assert child.stdout.readline() == "started\n"
        found = Slurm(folder, nodes, child)
        until(lambda: "idle" in found("sinfo", "--noheader", "--format=%T", check=False), found)
        until(found.idle, found)
        yield found


@pytest.fixture
def slurm(slurm_session: Slurm) -> Iterator[Slurm]:
    """It, without a job before and after the test."""
    yield slurm_session
    slurm_session.clear()


def until(holds: Callable[[], object], slurm: Slurm | None = None) -> None:
    """Wait until something holds; where it does not, jobs, nodes and the daemons' logs are said."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"it did not come about\n{slurm.left() if slurm else ''}")
        time.sleep(0.1)


def _configured(folder: Path, count: int = 2) -> list[str]:
    folder.chmod(0o755)  # munge refuses a socket that others cannot reach
    (folder / "state").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    for number, device in enumerate(("null", "zero")):  # SLURM deals devices, and no plain files
        (folder / f"gpu{number}").symlink_to(f"/dev/{device}")
    (folder / "prolog").write_text(f"#!/bin/sh\ntest ! -e {folder}/fails\n")
    (folder / "prolog").chmod(0o755)
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
    controller, *ports = _free_ports(1 + count)
    host = socket.gethostname().partition(".")[0]
    names = [f"node{number}" for number in range(1, count + 1)]
    nodes = [NODE.format(name=name, host=host, port=port) for name, port in zip(names, ports, strict=True)]
    known = {"host": host, "controller": controller, "user": _user(), "folder": folder, "array": MAX_ARRAY}
    for file, patience in (("slurm.conf", QUICK), ("daemons.conf", PATIENT)):
        text = CONF.format(**known, nodes="\n".join(nodes), patience=patience)
        (folder / file).write_text(text)
    for name in names:
        (folder / f"spool-{name}").mkdir()
    return names


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _path() -> str:
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name
