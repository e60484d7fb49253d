"""What a job of a real SLURM gets of what it asks for, and how it ends where that was too little."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from beampermit.compute import collect, slurm_job
from beampermit.compute import slurm as ours
from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.compute.slurm_queue import NOT_QUEUED_AGAIN, Listed, what_was_short
from beampermit.compute.team import Team
from beampermit.compute.unit import RUNNING, Unit, read_ended
from beampermit.compute.worker import Worker, dealt
from beampermit.errors import Outside
from support.slurm import Slurm, until
from support.slurm_units import no_patience, performed, submitted, tree, units, work

__all__ = ["no_patience", "submitted", "tree", "work"]
pytestmark = pytest.mark.usefixtures("no_patience")
GPUS = "CUDA_VISIBLE_DEVICES"
TAKES = """\
import time
if __name__ == "__main__":
    print("taking 300 MiB", flush=True)
    much = b"x" * (300 * 2**20)
    time.sleep(600)
"""
MEMORY = (
    "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks have been OOM Killed.",
    "slurmstepd: error: Detected 1 oom-kill event(s) in step 7.0 cgroup. Some of your processes may have been killed.",
    "slurmstepd-node1: error: StepId=7.0 exceeded memory limit (384368640 > 209715200), being killed",
    "slurmstepd: error: Exceeded job memory limit at some point.",
)
TIME = "submitit.core.utils.UncompletedJobError: Job not requeued because: timed-out too many times."
"""What jobs leave in their logs."""


@pytest.mark.slow
def test_units_get_gpus_of_their_own(slurm: Slurm, work: Path, tree: Path, tmp_path: Path) -> None:
    go, wanted = tmp_path / "go", units(tree, 2, until=str(tmp_path / "go"))

    def progress(*_: object) -> None:
        if len(list(work.glob("units/*/starts"))) == 2:  # both at once, so that none can have the other's
            go.touch()

    with open_executor("slurm", Resources(gpus=1), work) as executor:
        ended = list(perform_all(iter(wanted), executor, work, progress))
    seen = [one.result["variables"] for one in ended if one.result]
    assert sorted(one[GPUS] for one in seen) == ["0", "1"]
    both = performed(work, units(tree, 3)[2:], gpus=2)["unit 2"].result
    assert both
    assert both["variables"][GPUS] == "0,1"


def test_more_than_a_node_has_is_refused_with_what_was_asked_for(slurm: Slurm, work: Path, tree: Path) -> None:
    with pytest.raises(Outside) as error:
        performed(work, units(tree, 1), gpus=3, memory=2 * 2**30)
    assert error.value.message == (
        "sbatch refuses the job: Batch job submission failed: Requested node configuration is not available "
        "(each was asked for 1 core, 3 GPUs, 2048M of memory)"
    )
    command = error.value.hint.split("`")[1]
    assert slurm("sh", "-c", f"{command} --noheader").splitlines()[0].split() == ["node1", "8", "64000", "gpu:2"]
    assert not slurm("squeue", "--noheader")


@pytest.mark.slow
def test_a_unit_that_takes_more_memory_than_it_asked_for_fails_at_once_and_others_go_on(
    slurm: Slurm, work: Path, tree: Path, submitted: list[int]
) -> None:
    (tree / "src/takes.py").write_text(TAKES)
    greedy = Unit("greedy", "takes", {}, tree=tree, tree_digest="1")
    ended = performed(work, [*units(tree, 1), greedy], memory=200 * 2**20, time=60.0)
    assert ended["unit 0"].result
    assert re.fullmatch(
        r"job \d+_1 is over \(FAILED\); give --memory a larger value\ntaking 300 MiB", ended["greedy"].reason
    )
    assert submitted == [2]


@pytest.mark.slow
def test_a_team_reaches_the_gpus_of_both_nodes_though_its_job_holds_all_memory(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_JOB_ID", "1")
        inner = [*Team(2, 1)._srun(tmp_path), "sh", "-c", f"echo $SLURM_NODEID has ${GPUS}"]
    outer = ["srun", "--export=ALL", "--nodes=1", "--ntasks=1", "--cpus-per-task=1"]  # as in slurm_job.py
    (tmp_path / "script").write_text(f"#!/bin/sh\n{shlex.join([*outer, *inner])}\n")
    asked = ["--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=1", "--time=2"]
    slurm("sbatch", "--wait", *asked, f"--output={tmp_path}/said", tmp_path / "script", check=False)
    assert sorted((tmp_path / "said").read_text().splitlines()) == ["0 has 0", "1 has 0"]


@pytest.mark.slow
def test_a_job_whose_time_was_up_too_often_says_so(
    slurm: Slurm, work: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "ATTEMPTS", 1)
    real = slurm_job.submit
    monkeypatch.setattr(slurm_job, "submit", lambda room, tasks, asked, _, passed: real(room, tasks, asked, 0, passed))
    signalled: list[str] = []

    def progress(*_: object) -> None:
        if not signalled and list(work.glob("units/*/starts")):
            signalled.append(slurm("scancel", "--signal=USR2", slurm("squeue", "--noheader", "--format=%i").strip()))

    with open_executor("slurm", Resources(time=60.0), work) as executor:
        (ended,) = perform_all(iter(units(tree, 1, until="/never")), executor, work, progress)
    assert re.search(r"^lost 1 times: job \d+ is over \(FAILED\); give --time a larger value; the end of", ended.reason)


@pytest.mark.slow
def test_a_job_that_cannot_be_queued_again_ends_and_what_it_had_not_begun_is_another_job_s(
    slurm: Slurm, work: Path, tree: Path, submitted: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("sbatch", "squeue", "scancel", "srun", "sinfo", "bash", "sh", "env"):
        program = shutil.which(name)
        assert program
        (tmp_path / "bin" / name).symlink_to(program)
    monkeypatch.setattr(ours, "SHARE", 1)
    monkeypatch.setattr(collect, "ATTEMPTS", 2)
    go, jobs, begun = tmp_path / "go", list[str](), list[Path]()

    def progress(*_: object) -> None:
        if jobs or not list(work.glob("units/*/starts")):
            return
        jobs.append(slurm("squeue", "--noheader", "--format=%A").strip())
        slurm("scancel", "--signal=USR2", jobs[0])
        until(lambda: jobs[0] not in slurm("squeue", "--noheader", "--format=%A"), slurm)
        begun.extend(work.glob("units/*/starts"))
        go.touch()

    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "bin"))
        with open_executor("slurm", Resources(time=60.0, at_once=1), work) as executor:
            ended = list(perform_all(iter(units(tree, 2, until=str(go))), executor, work, progress))
    assert len(begun) == 1, "in its last seconds the job began no other unit"
    assert sorted([one.result["starts"] for one in ended if one.result]) == [1, 2], [one.reason for one in ended]
    assert submitted == [1, 1, 1], "what had not been begun was no attempt, and is another job"


def test_a_job_ends_with_a_reason_where_scontrol_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def queue_again(*_: object) -> None:
        raise error

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    errors = (FileNotFoundError(2, "No such file", "scontrol"), subprocess.TimeoutExpired("scontrol", 60))
    try:
        for error in (*errors, subprocess.CalledProcessError(1, "scontrol")):
            signal.signal(signal.SIGUSR2, queue_again)
            slurm_job._listen(Worker(dealt(1)))
            with pytest.raises(SystemExit) as ends:
                signal.raise_signal(signal.SIGUSR2)
            assert str(ends.value) == f"its time was up, and it could not be queued again: {error}"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_what_a_job_had_not_come_to_when_its_time_was_up_has_not_been_tried(tmp_path: Path) -> None:
    folders = [tmp_path / (number * 64) for number in "abc"]
    array, job = ours.Array("beampermit-1", tmp_path, {0: dict.fromkeys(folders)}), Listed("7_0", "FAILED", "None")
    said = f"{NOT_QUEUED_AGAIN}: [Errno 2] No such file or directory: 'scontrol'"
    (tmp_path / "7_1_0_log.err").write_text(f"{said}\n")
    assert ours._not_begun(array, folders, job) == [], "that is another job's log"
    (tmp_path / "7_0_0_log.err").write_text(f"begun\n{said}\nsrun: error: node1: task 0: Exited with exit code 1\n")
    assert ours._not_begun(array, folders, job) == [], "it began none: submitted for ever, perhaps"
    folders[1].mkdir()
    (folders[1] / RUNNING).touch()
    assert ours._not_begun(array, folders, job) == [folders[0], folders[2]]
    assert ours._not_begun(array, folders, None) == []
    assert ours._lost(array, folders[1:2], job).endswith(f"_0_log.err: {said}")


@pytest.mark.parametrize(
    ("state", "lines", "short"),
    [
        ("OUT_OF_MEMORY", [], "--memory"),
        ("TIMEOUT", [], "--time"),
        *(("FAILED", ["begun", line, "srun: error: node1: task 0: Killed"], "--memory") for line in MEMORY),
        ("FAILED", [TIME], "--time"),
        ("FAILED", ["bloom_killer: no beam", "exceeded the limit of memory"], ""),
        ("FAILED", ["*** JOB 7 ON node1 CANCELLED AT 2026-11-30T14:16:08 DUE TO TIME LIMIT ***", "No module x"], ""),
        ("NODE_FAIL", [MEMORY[0]], ""),
        ("COMPLETED", [TIME], ""),
        ("", [TIME], ""),
    ],
)
def test_of_what_a_job_had_too_little(state: str, lines: list[str], short: str) -> None:
    assert what_was_short(state, lines) == short


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("OUT_OF_MEMORY", "job 7_0 is over (OUT_OF_MEMORY); give --memory a larger value"),
        ("TIMEOUT", "job 7_0 is over (TIMEOUT); give --time a larger value"),
        ("NODE_FAIL", ""),
    ],
)
def test_of_a_jobs_units_the_one_that_was_begun_last_has_failed_and_the_rest_is_done_again(
    state: str, said: str, tmp_path: Path
) -> None:
    folders = [tmp_path / (number * 64) for number in "abc"]
    for at, folder in enumerate(folders[:2], 1):  # the first one was begun by another job, whose node failed
        folder.mkdir()
        (folder / RUNNING).touch()
        os.utime(folder / RUNNING, (at, at))
    array = ours.Array("beampermit-1", tmp_path, {0: dict.fromkeys(folders)})
    for element, word in (("7_0", "of this one"), ("7_1", "of another one, written later")):
        (tmp_path / f"{element}_0_log.err").write_text(f"{word}\n")
    why = ours._lost(array, folders, Listed("7_0", state, "None"))
    assert why.startswith(said or f"job 7_0 is over ({state}); the end of")
    assert why.endswith("7_0_0_log.err: of this one")
    reasons = [ended["reason"] if (ended := read_ended(folder)) else "" for folder in folders]
    assert reasons == ["", said, ""]
