"""What is submitted to SLURM and what its commands say, without one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from beampermit.compute import slurm as ours
from beampermit.compute import slurm_queue
from beampermit.compute.slurm import chunks_of
from beampermit.errors import Outside
from support.slurm_units import performed, tree, units, work

__all__ = ["tree", "work"]
SECRET = "hunter2-of-the-registry"


def test_sbatch_gets_the_login_at_slurm_and_its_script_drops_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A site may have logins by a token. Its jobs need none; in a queue it would be too old besides."""
    from beampermit.compute import slurm_job

    for name in ("SLURM_JWT", "SBATCH_ACCOUNT", "SLURM_FOO", "MUNGE_FOO", "SBATCH_X;y"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    exported = slurm_job.exported({"SLURM_FOO", "SBATCH_EXPORT"})
    assert {name for name in exported if name[0] in "SM"} - {"SSL_CERT_FILE", "SSL_CERT_DIR"} == {
        *("SLURM_JWT", "SBATCH_ACCOUNT", "SLURM_CONF", "SLURM_FOO")
    }
    (line,) = slurm_job._dropping(["SLURM_JWT", "SBATCH_ACCOUNT"])
    script = tmp_path / "script"
    script.write_text(f"#!/bin/bash\n{line}\necho begun\n/usr/bin/env\ntr '\\0' '\\n' </proc/$$/environ\n")
    script.chmod(0o700)
    for names in (("SLURM_JWT", "SBATCH_ACCOUNT"), ("SBATCH_ACCOUNT",), ()):
        variables = {"PATH": os.environ["PATH"], "SLURM_CONF": "x", **dict.fromkeys(names, SECRET)}
        done = subprocess.run([script], env=variables, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines().count("begun") == 1
        assert done.stdout.splitlines().count("SLURM_CONF=x") == 2
        assert SECRET not in done.stdout
    assert slurm_job._dropping([]) == []


@pytest.mark.slow
def test_an_array_is_as_long_as_the_cluster_takes() -> None:
    folders = [Path(str(number)) for number in range(10_000)]
    for at_once, longest, elements in ((0, 1000, 1000), (0, 25, 25), (5, 1000, 20), (300, 1000, 1000)):
        chunks = chunks_of(folders, at_once, longest)
        assert len(chunks) == elements
        assert sorted(folder for chunk in chunks for folder in chunk) == sorted(folders)
        assert max(map(len, chunks)) - min(map(len, chunks)) <= 1
    assert chunks_of(folders[:3], 0, 1000) == [[folder] for folder in folders[:3]]
    assert len(chunks_of(folders[:3], 5, 1)) == 1


def test_a_job_that_no_node_can_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held = slurm_queue.Listed("7_0", "PENDING", "launch failed requeued held")
    assert held.over
    assert slurm_queue.Listed("7_0", "PENDING", "JobHoldMaxRequeue").over
    for reason in ("Priority", "BeginTime", "JobHeldUser", "JobHeldAdmin", "PartitionTimeLimit"):
        assert not slurm_queue.Listed("7_0", "PENDING", reason).over
    cancelled: list[str] = []
    monkeypatch.setattr(slurm_queue, "cancel_jobs", cancelled.extend)
    array = ours.Array("beampermit-1", tmp_path, {0: {tmp_path / "unit": None}})
    said = ours._lost(array, [tmp_path / "unit"], held)
    assert said.startswith("job 7_0 could not be started: launch failed requeued held; it left no log in ")
    assert cancelled == ["7_0"]


@pytest.mark.parametrize(
    ("words", "cancelled"),
    [
        ("Batch job submission failed: Unable to contact slurm controller (connect failure)", 0),
        ("Batch job submission failed: Socket timed out on send/recv operation", 1),
    ],
)
def test_what_sbatch_says_is_said_where_nothing_can_be_cancelled(
    work: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, words: str, cancelled: int
) -> None:
    from beampermit.compute import slurm_job

    asked: list[str] = []

    def refuse(*_: Any) -> str:
        raise slurm_job.FailedSubmissionError(f"sbatch: error: {words}")

    def fail(names: Sequence[str]) -> None:
        asked.extend(names)
        if names:
            raise Outside("scancel: Unable to contact slurm controller; jobs go on")

    monkeypatch.setattr(ours.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(slurm_queue, "largest_array", lambda: 1001)
    monkeypatch.setattr(slurm_queue, "usual_time", lambda _: 60.0)
    monkeypatch.setattr(slurm_queue, "cancel", fail)
    monkeypatch.setattr(slurm_job.SlurmExecutor, "submit_array", refuse)
    with pytest.raises(Outside) as error:
        performed(work, units(tree, 2))
    assert error.value.message == f"sbatch refuses the job: {words}"
    assert error.value.hint == "Type it again when SLURM's controller answers: sinfo"
    assert len(asked) == cancelled
    assert len(list(work.glob("slurm/*/array.json"))) == 1, "the next start could not find what SLURM took"


@pytest.mark.parametrize(
    ("reason", "helpless"),
    [
        *((reason, True) for reason in ("PartitionConfig", "PartitionTimeLimit", "PartitionNodeLimit")),
        *((reason, True) for reason in ("BadConstraints", "InvalidQOS", "AccountNotAllowed", "QOSMinGRES")),
        *((reason, True) for reason in ("AssocMaxWallDurationPerJobLimit", "QOSMaxMemoryPerJob", "QOSMaxCpuPerNode")),
        *((reason, False) for reason in ("Priority", "Resources", "AssocMaxJobsLimit", "AssocGrpCpuLimit")),
        *(
            (reason, False)
            for reason in ("QOSMaxCpuPerUserLimit", "PartitionDown", "ReqNodeNotAvail, UnavailableNodes")
        ),
    ],
)
def test_for_which_reasons_no_waiting_helps(reason: str, helpless: bool) -> None:
    assert slurm_queue.no_waiting_helps(reason) == helpless
