"""Units on a real SLURM of two nodes."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from beampermit.compute import slurm as ours
from beampermit.compute import slurm_queue
from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Ended, Unit, prepare
from beampermit.errors import BadInput, Outside
from support.forked_pythons import forked
from support.slurm import MAX_ARRAY, Slurm, until
from support.slurm_units import no_patience, performed, submitted, tree, units, work

__all__ = ["no_patience", "submitted", "tree", "work"]
pytestmark = pytest.mark.usefixtures("no_patience")
SECRET = "hunter2-of-the-registry"
SEEN = """\
import json, os, pathlib
others = {}
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        variables = (process / "environ").read_text(errors="replace")
        if f"SLURM_JOB_ID={os.environ['SLURM_JOB_ID']}\\0" in variables and os.environ["SLURM_CONF"] in variables:
            others[(process / "comm").read_text().strip() + " " + process.name] = variables
    except OSError:
        pass
print(json.dumps([dict(os.environ), others]))
"""


@pytest.fixture
def patience(no_patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a loaded machine takes to queue a job again, it is not lost."""
    monkeypatch.setattr(ours, "OVER", 60.0)


def squares(ended: dict[str, Ended]) -> list[int]:
    return [one.result["square"] if one.result else -1 for one in ended.values()]


def started(work: Path) -> bool:
    return bool(list(work.glob("units/*/starts")))


@pytest.mark.slow
def test_units_are_one_array_whose_jobs_see_no_secret(
    slurm: Slurm, work: Path, tree: Path, submitted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    monkeypatch.setenv("SBATCH_EXPORT", "ALL")
    monkeypatch.setenv("SQUEUE_PARTITION", "urgent")
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(work / "cache"))
    (work / "cwd").mkdir()
    (work / "cwd/json.py").write_text("raise SystemExit('a file of where somebody stands')")
    monkeypatch.chdir(work / "cwd")
    ended = performed(work, [*units(tree, 30), Unit("bad", "command", {"x": 0, "fails": True}, tree=tree)], at_once=1)
    assert sorted(squares(ended))[1:] == [x**2 for x in range(30)]
    bad = ended["bad"]
    assert bad.result is None
    assert "exit status 1" in bad.reason
    assert bad.reason.endswith("no beam")
    assert submitted == [4]
    seen = ended["unit 3"].result
    assert seen
    assert SECRET not in json.dumps(seen)
    assert seen["variables"]["OMP_NUM_THREADS"] == "1"
    assert seen["variables"]["CUDA_VISIBLE_DEVICES"] == "", "it asked for no GPU"
    files = [file for file in work.rglob("*") if file.is_file() and not file.is_symlink()]
    assert not [file for file in files if SECRET.encode() in file.read_bytes()]
    assert squares(performed(work, units(tree, 30))) == [x**2 for x in range(30)]
    assert submitted == [4], "all was done before"
    monkeypatch.delenv("SQUEUE_PARTITION")
    until(lambda: not slurm("squeue", "--noheader"))
    assert len(list(work.glob("slurm/*/*_result.pkl"))) == 4, "a job ended as failed"
    (array,) = work.glob("slurm/*/array.json")
    os.utime(array, (0, 0))
    with open_executor("slurm", Resources(), work) as executor:
        executor.submit([])
    assert not list(work.glob("slurm/*"))


@pytest.mark.slow
def test_a_job_has_no_variable_of_ours_but_where_things_are(
    slurm: Slurm, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    for name in ("SLURM_FOO", "MUNGE_FOO", "SBATCH_FOO", "SBATCH_WCKEY"):
        monkeypatch.setenv(name, SECRET)
    from beampermit.compute import slurm_job

    command = f"{sys.executable} -c {shlex.quote(SEEN)}"
    monkeypatch.setattr(slurm_job.SlurmExecutor, "_submitit_command_str", property(lambda _: command))
    before = dict(os.environ)
    slurm_job.submit(work, [work / "none", work / "none"], {"time": 1, "cpus_per_task": 1, "signal_delay_s": 5}, 1)
    assert dict(os.environ) == before
    until(lambda: any(file.read_text().endswith("\n") for file in work.glob("*_0_0_log.out")))
    variables, others = json.loads(next(work.glob("*_0_0_log.out")).read_text())
    assert not [name for name, text in others.items() if SECRET in text]
    assert "bash" in {name.split()[0] for name in others}, "the script itself"
    assert variables["SUBMITIT_EXECUTOR"] == "slurm"
    assert not [name for name, value in variables.items() if SECRET in value]
    from_us = {name for name, value in variables.items() if os.environ.get(name) == value}
    assert from_us - {"SHLVL", "HOSTNAME", "TMPDIR"} <= set(slurm_job.exported())
    assert "OMP_NUM_THREADS" not in variables


def test_what_a_cluster_has_is_asked(slurm: Slurm, tmp_path: Path) -> None:
    assert slurm_queue.largest_array() == MAX_ARRAY
    assert slurm_queue.usual_time("") == 3600
    assert slurm_queue.usual_time("urgent") == 1800
    (tmp_path / "bin").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "bin"))
        assert slurm_queue.largest_array() == slurm_queue.USUAL_ARRAY
        assert slurm_queue.usual_time("") == slurm_queue.USUAL_TIME
        with pytest.raises(Outside, match="needs sbatch, which is not on this machine") as error:
            ours.Slurm(Resources(), tmp_path)
        assert "where jobs are submitted" in error.value.hint
        patch.setattr(ours, "find_spec", lambda _: None)
        with pytest.raises(BadInput, match="needs the extra slurm") as bad:
            ours.Slurm(Resources(), tmp_path)
        assert bad.value.hint == "pip install 'beampermit[slurm]'"


@pytest.mark.slow
def test_what_sbatch_refuses_is_said_in_its_words(slurm: Slurm, work: Path, tree: Path) -> None:
    with pytest.raises(Outside, match=r"sbatch refuses the job: .*invalid partition specified: gpu") as error:
        performed(work, units(tree, 2), partition="gpu")
    assert error.value.exit_code == 4
    with pytest.raises(Outside, match=r"sbatch refuses the job: .*node configuration is not available"):
        performed(work, units(tree, 2), cores=9)
    assert not slurm("squeue", "--noheader")


@pytest.mark.slow
def test_arrays_get_shorter_until_the_cluster_takes_them(
    slurm: Slurm, work: Path, tree: Path, submitted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where scontrol does not say how long they may be."""
    monkeypatch.setattr(slurm_queue, "largest_array", lambda: slurm_queue.USUAL_ARRAY)
    folders = [unit.folder(work) for unit in units(tree, 2 * MAX_ARRAY + 2)]
    for unit, folder in zip(units(tree, len(folders)), folders, strict=True):
        prepare(unit, folder)
    with open_executor("slurm", Resources(time=7200.0), work) as executor:
        executor.submit(folders[:-1])
        assert submitted == [2 * MAX_ARRAY + 1, MAX_ARRAY]
        assert len(slurm("squeue", "--noheader", "--array").splitlines()) == MAX_ARRAY
        executor.submit(folders)
        assert submitted[2:] == [1], "what it learned, it did not keep"
        (long, single) = sorted(work.glob("slurm/*/array.json"), key=lambda file: -file.stat().st_size)
        elements = json.loads(long.read_text())["elements"] + json.loads(single.read_text())["elements"]
        assert sorted(name for names in elements for name in names) == sorted(folder.name for folder in folders)


@pytest.mark.parametrize(
    ("asked", "reason"), [({"time": 7200.0}, "PartitionTimeLimit"), ({"cores": 64}, "PartitionConfig")]
)
def test_a_queue_that_does_not_start_is_said_with_the_reason_and_ctrl_c_empties_it(
    slurm: Slurm, work: Path, tree: Path, asked: dict[str, Any], reason: str
) -> None:
    said: list[str] = []

    def ask() -> Iterator[Unit]:
        yield from units(tree, 3)

    with open_executor("slurm", Resources(**asked), work) as executor:

        def progress(step: str, *_: int) -> None:
            said.append(step)
            if reason in step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(perform_all(ask(), executor, work, progress))
    helpless = "and no waiting helps: press Ctrl-C, and ask for less"
    assert said[-1].startswith(f"units: 3 submitted, 3 of 3 jobs queued ({reason}), {helpless}")
    until(lambda: not slurm("squeue", "--noheader"))


@pytest.mark.slow
@pytest.mark.usefixtures("patience")
def test_a_preempted_job_goes_on_by_itself(
    slurm: Slurm, work: Path, tree: Path, submitted: list[int], tmp_path: Path
) -> None:
    go = tmp_path / "go"

    def progress(step: str, done: int = 0, total: int = 0, /) -> None:
        if not progressed and started(work):
            progressed.append("")
            slurm(
                "sbatch", "--partition=urgent", "--nodes=2", "--exclusive", f"--wrap=touch {go}", "--output=/dev/null"
            )

    progressed: list[str] = []
    with open_executor("slurm", Resources(time=60.0), work) as executor:
        (ended,) = perform_all(iter(units(tree, 1, until=str(go))), executor, work, progress)
    assert ended.result
    assert ended.result["starts"] == 2
    assert submitted == [1]


@pytest.mark.slow
@pytest.mark.usefixtures("patience")
def test_a_job_whose_time_is_up_is_queued_again(
    slurm: Slurm, work: Path, tree: Path, submitted: list[int], tmp_path: Path
) -> None:
    go = tmp_path / "go"

    def progress(step: str, done: int = 0, total: int = 0, /) -> None:
        if started(work) and not go.exists():
            slurm("scancel", "--signal=USR2", slurm("squeue", "--noheader", "--format=%i").strip())
            until(lambda: slurm("squeue", "--noheader", "--format=%t").strip() != "R")
            go.touch()

    with open_executor("slurm", Resources(time=60.0), work) as executor:
        (ended,) = perform_all(iter(units(tree, 1, until=str(go))), executor, work, progress)
    assert ended.result
    assert ended.result["starts"] == 2
    assert submitted == [1]


@pytest.mark.slow
def test_what_somebody_cancels_fails_with_the_job_and_is_not_submitted_again(
    slurm: Slurm, work: Path, tree: Path, submitted: list[int]
) -> None:
    def progress(step: str, done: int = 0, total: int = 0, /) -> None:
        if started(work) and not cancelled:
            cancelled.append(slurm("squeue", "--noheader", "--format=%i").split()[0])
            slurm("scancel", cancelled[0])

    cancelled: list[str] = []
    with open_executor("slurm", Resources(), work) as executor:
        (ended,) = perform_all(iter(units(tree, 1, until="/never")), executor, work, progress)
    assert ended.result is None
    assert f"job {cancelled[0]} is over (CANCELLED): somebody, or the site, ended it" in ended.reason
    assert submitted == [1]


@pytest.mark.slow
def test_the_units_of_a_node_that_fails_are_done_again_on_another(
    slurm: Slurm, work: Path, tree: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"

    def progress(step: str, done: int = 0, total: int = 0, /) -> None:
        starts = sum(len(file.read_text().splitlines()) for file in work.glob("units/*/starts"))
        if starts and not failed:
            failed.append(slurm("squeue", "--noheader", "--format=%N").split()[0])
            slurm("scontrol", "update", f"nodename={failed[0]}", "state=down", "reason=test")
        elif starts > 1:  # the first one is ended by its node, some time later
            go.touch()

    failed: list[str] = []
    try:
        with open_executor("slurm", Resources(), work) as executor:
            (ended,) = perform_all(iter(units(tree, 1, until=str(go))), executor, work, progress)
    finally:
        for node in failed:
            slurm("scontrol", "update", f"nodename={node}", "state=resume", check=False)
    assert ended.result
    assert ended.result["starts"] == 2


@pytest.mark.slow
def test_a_controller_that_is_gone_is_waited_for_and_no_result_is_missed(
    slurm: Slurm, work: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, said, down = tmp_path / "go", list[str](), list[str]()

    def progress(step: str, *_: int) -> None:
        said.append(step)
        if not down and started(work):
            down.append("slurmctld")
            slurm.kill("slurmctld")

    monkeypatch.setattr(ours, "UNANSWERED", 0.1)
    try:
        with (
            pytest.raises(Outside, match=r"SLURM's controller has not answered for .* min: squeue: ") as error,
            open_executor("slurm", Resources(), work) as executor,
        ):
            list(perform_all(iter(units(tree, 1, until=str(go))), executor, work, progress))
        assert error.value.hint == "What is submitted goes on; the same command later takes it over"
    finally:
        slurm.start("slurmctld")
    until(lambda: "UP" in slurm("scontrol", "ping", check=False))
    monkeypatch.setattr(ours, "UNANSWERED", 900.0)
    down.clear()

    def progress_later(step: str, *_: int) -> None:
        if not down:
            down.append("slurmctld")
            slurm.kill("slurmctld")
            go.touch()

    try:
        with open_executor("slurm", Resources(), work) as executor:
            (ended,) = perform_all(iter(units(tree, 1, until=str(go))), executor, work, progress_later)
    finally:
        slurm.start("slurmctld")
    assert ended.result
    assert ended.result["starts"] == 1, "it was taken over"


KILLED = """\
import sys
from pathlib import Path
from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Unit

work, tree, until = map(Path, sys.argv[1:])
units = [Unit(f"unit {x}", "command", {"x": x, "until": str(until)}, tree=tree, tree_digest="1") for x in range(3)]
with open_executor("slurm", Resources(), work) as executor:
    list(perform_all(iter(units), executor, work))
"""


@pytest.mark.slow
def test_a_submitter_that_was_killed_takes_its_jobs_over(
    slurm: Slurm, work: Path, tree: Path, submitted: list[int], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with killed(work, tree, go):
        until(lambda: len(list(work.glob("units/*/starts"))) == 3, slurm)

    def progress(step: str, done: int = 0, total: int = 0, /) -> None:
        go.touch()

    with open_executor("slurm", Resources(), work) as executor:
        ended = list(perform_all(iter(units(tree, 3, until=str(go))), executor, work, progress))
    assert sorted(one.result["starts"] for one in ended if one.result) == [1, 1, 1]
    assert submitted == []


@pytest.mark.slow
def test_jobs_that_no_node_could_start_are_ended_where_they_are_submitted_again(
    slurm: Slurm, work: Path, tree: Path, submitted: list[int], tmp_path: Path
) -> None:
    """SLURM keeps them in the queue, and an administrator may let them go."""
    slurm.fail(True)
    with killed(work, tree, tmp_path / "go"):
        until(lambda: slurm("squeue", "--noheader", "--array", "--format=%r").count("launch failed") == 3, slurm)
    held = slurm("squeue", "--noheader", "--array", "--format=%i").split()
    slurm.fail(False)
    (tmp_path / "go").touch()
    with open_executor("slurm", Resources(), work) as executor:
        ended = list(perform_all(iter(units(tree, 3, until=str(tmp_path / "go"))), executor, work))
    assert [one.result["starts"] for one in ended if one.result] == [1, 1, 1]
    assert submitted == [3]
    assert not set(held) & set(slurm("squeue", "--noheader", "--array", "--format=%i").split())


@contextmanager
def killed(work: Path, tree: Path, go: Path) -> Iterator[None]:
    """A submitter of three units, which is killed at the end."""
    first = forked(KILLED, work, tree, go, needs=("beampermit.compute.collect", "beampermit.compute.executor"))
    try:
        yield
    finally:
        first.kill()
        first.wait()
