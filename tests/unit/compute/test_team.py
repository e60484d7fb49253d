"""Which units torchrun runs in several processes. That it does so is in tests/template/test_on_two_nodes.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from beampermit.compute.server import SERVER
from beampermit.compute.team import Team, team_of
from beampermit.compute.unit import Unit, prepare, read_ended
from beampermit.compute.worker import Worker, dealt
from beampermit.errors import Outside
from support.units_of_work import wait_for


@pytest.mark.parametrize(
    ("nodes", "gpus", "processes"), [(1, 0, 1), (1, 1, 1), (1, 4, 4), (2, 0, 2), (2, 4, 8), (3, 1, 3)]
)
def test_there_is_a_process_for_each_gpu_or_each_machine(nodes: int, gpus: int, processes: int) -> None:
    team = team_of(nodes, gpus, 1)
    assert (team.count if team else 1) == processes


def test_what_says_nothing_of_several_processes_is_the_work_of_one_machine(tmp_path: Path) -> None:
    """It runs on a machine with several GPUs as it is, and nobody waits for machines that it does not use."""
    tree = tmp_path / "tree"
    (tree / "src").mkdir(parents=True)
    (tree / "src/alone.py").write_text("open('result.json', 'w').write('{\"x\": 1}')")
    unit = Unit("a backtest", "alone", {}, tree=tree)
    folder = unit.folder(tmp_path)
    for team, result, reason in (
        (Team(2, 0), None, "--nodes is 2, and this is the work of one machine"),
        (Team(1, 4), {"x": 1}, ""),
    ):
        prepare(unit, folder)
        with Worker(dealt(1), team=team) as worker:
            worker.perform(folder)
        ended = read_ended(folder)
        assert ended
        assert (ended["result"], ended["reason"]) == (result, reason)


def test_other_machines_get_what_srun_needs_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    srun = tmp_path / "bin/srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\nexec /usr/bin/env\n")
    srun.chmod(0o700)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=os.pathsep)
    for name in ("SLURM_FOO", "SLURM_JWT", "MUNGE_FOO", "SLURM_STEP_ID", "SBATCH_FOO", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")
    run = Team(2, 0).run(Path(sys.executable), "alone", {"OMP_NUM_THREADS": "1"}, tmp_path, 0.0, lambda: False)
    assert run.code == 0
    seen = dict(line.split("=", 1) for line in (tmp_path / "log.txt").read_text().splitlines())
    assert seen.items() >= {"SLURM_JOB_ID": "12", "SLURM_CONF": "/etc/slurm/slurm.conf", "OMP_NUM_THREADS": "1"}.items()
    assert "hunter2" not in seen.values()


def test_several_machines_are_those_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(Outside, match="several machines are reached by srun in a job of SLURM"):
        Team(2, 0).run(Path(sys.executable), "alone", {}, tmp_path, 0.0, lambda: False)


DETACHED = "setsid sh -c 'sleep 600 & echo $! > left; exec sleep 600' & while [ ! -s left ]; do sleep 0.02; done; "


@pytest.mark.parametrize(
    ("line", "code"), [("exit 3", 3), ("exit 0", 0), ("kill -TERM $$", -15), ("kill -KILL $$", -9), ("sleep 600", None)]
)
def test_nothing_that_torchrun_started_outlives_it(tmp_path: Path, line: str, code: int | None) -> None:
    """Its processes lead sessions of their own. It ends with whoever began it, too."""
    command = [sys.executable, "-P", str(SERVER), "--attend", "/bin/sh", "-c", f"{DETACHED}{line}"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE) as child:
        assert child.stdin
        wait_for(lambda: (tmp_path / "left").exists() and (tmp_path / "left").read_text())
        if code is None:
            assert child.poll() is None
            child.stdin.close()
        assert child.wait(60) == (-9 if code is None else code)
    assert not psutil.pid_exists(int((tmp_path / "left").read_text()))
