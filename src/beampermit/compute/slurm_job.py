"""Arrays of SLURM through submitit, and what runs in a job of them. Nobody but `slurm.py` imports this: it is slow."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

from submitit import SlurmExecutor
from submitit.core.utils import DelayedSubmission, FailedSubmissionError, UncompletedJobError

from beampermit.cache import VARIABLE as CACHE
from beampermit.compute import worker
from beampermit.compute.slurm_queue import NOT_QUEUED_AGAIN
from beampermit.errors import Outside, counted
from beampermit.processes import clean_variables

OF_A_MACHINE = ("TERM", "TMPDIR", "TEMP", "TMP", "CI", "SHELL", "XDG_CACHE_HOME")
"""Variables of where we are, which say nothing about a node."""
DEALT = ("_VISIBLE_DEVICES", "_NUM_THREADS")
"""Ends of names of those that SLURM and the worker set."""
FOR_SBATCH = re.compile(r"SBATCH_[A-Z_]+|SLURM_JWT")
"""Variables that sbatch reads, a login among them: the first line of its script drops them, so a job has none."""
FOR_SLURM = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_HINT", "SLURM_UMASK")
"""Variables where its commands find the cluster, here and in a job; of others named so, sbatch exports each."""
NO_SUCH_NODE = "node configuration is not available"
"""Words of sbatch where no node has what is asked for."""
OVERRULING = ("SBATCH_EXPORT", "SBATCH_GET_USER_ENV", "SBATCH_ARRAY_INX", "SBATCH_JOB_NAME")
"""Variables of a user that are more than what the script says."""


@dataclass(frozen=True)
class Chunk:
    """What an element of an array does. All that it has to know is in a file, so a job that is queued again goes on."""

    task: str

    def __call__(self) -> int:
        return worker.do_task(self.task, _listen)

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit when time is up: it queues the job again. Units that are done are skipped then."""
        return DelayedSubmission(self)


def _listen(begun: worker.Worker) -> None:
    """SLURM sends SIGTERM to all of a job that it ends or queues again: that is no failure of units.

    When time is up, submitit calls scontrol to queue the job again. Where that fails, the job ends: what it began in
    the seconds left would be killed, as if its own time had been too short.
    """
    signal.signal(signal.SIGTERM, lambda *_: begun.end_soon())
    queue_again = cast("Callable[[int, FrameType | None], None]", signal.getsignal(signal.SIGUSR2))

    def time_is_up(number: int, frame: FrameType | None) -> None:
        try:
            queue_again(number, frame)
        except (OSError, subprocess.SubprocessError) as error:
            raise SystemExit(f"{NOT_QUEUED_AGAIN}: {error}") from None

    signal.signal(signal.SIGUSR2, time_is_up)


def submit(
    room: Path, tasks: Sequence[Path], parameters: dict[str, Any], requeues: int, passed: Iterable[str] = ()
) -> str:
    """Submit one array, an element for each task; give its job id. Raises `Outside` with the words of sbatch.

    `passed` names variables that contracts let through to what the jobs do.
    """
    passed = set(passed)
    variables = exported(passed)
    # -P: a file of the folder where somebody stands is no module of ours.
    executor = SlurmExecutor(room, max_num_timeout=requeues, python=f"{shlex.quote(sys.executable)} -P")
    try:
        executor.update_parameters(
            **parameters,
            wckey=None,
            # What sbatch exports is all that the script has, and the step gets that. It is one process on the first
            # machine; a team reaches the others by steps of its own (`team.py`).
            srun_args=["--export=ALL", "--nodes=1", "--ntasks=1", f"--cpus-per-task={parameters['cpus_per_task']}"],
            setup=_dropping(name for name in variables if FOR_SBATCH.fullmatch(name) and name not in passed),
            additional_parameters={"export": "ALL", "chdir": str(room), "requeue": True},
        )
        with _exporting(variables):
            jobs = executor.submit_array([Chunk(str(task)) for task in tasks])
    except (UncompletedJobError, FailedSubmissionError) as error:
        words = _words(str(error))
        what = f" (each was asked for {_asked(parameters)})" if NO_SUCH_NODE in words else ""
        raise Outside(f"sbatch refuses the job: {words}{what}", hint=_hint(words)) from None
    return str(jobs[0].job_id).partition("_")[0]


def exported(passed: Iterable[str] = ()) -> dict[str, str]:
    """The variables that sbatch sees: where things are, and what is set for itself. Jobs get those but `FOR_SBATCH`."""
    kept = {name for name in clean_variables() if name not in OF_A_MACHINE and not name.endswith(DEALT)}
    kept |= {name for name in os.environ if name in (CACHE, *FOR_SLURM) or FOR_SBATCH.fullmatch(name)}
    kept |= {name for name in passed if name in os.environ}
    return {name: os.environ[name] for name in kept.difference(OVERRULING)}


def _dropping(names: Iterable[str]) -> list[str]:
    """The first line of a script: begin again without these variables, not even where `/proc` keeps the first ones."""
    if not (dropped := sorted(names)):
        return []
    is_set = "".join(f"${{{name}+x}}" for name in dropped)
    unset = " ".join(f"-u {name}" for name in dropped)
    return [f'[ -z "{is_set}" ] || exec env {unset} "$BASH" "$0"']


@contextmanager
def _exporting(variables: Mapping[str, str]) -> Iterator[None]:
    """Have no other variables. With a list for sbatch to export, a job would get those of a login on its node."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _words(text: str) -> str:
    """The lines of sbatch in what submitit says of it."""
    lines = [line.partition("sbatch: error: ")[2].strip() for line in text.splitlines() if "sbatch: error: " in line]
    return "; ".join(lines) or " ".join(text.split())[-300:]


def _asked(parameters: Mapping[str, Any]) -> str:
    """What each node of a job has to have."""
    asked = [counted(parameters["cpus_per_task"], "core")]
    if gpus := parameters.get("gpus_per_node"):
        asked.append(counted(gpus, "GPU"))
    if memory := parameters.get("mem"):
        asked.append(f"{memory} of memory")
    return ", ".join(asked)


def _hint(words: str) -> str:
    if NO_SUCH_NODE in words:
        return "`sinfo --Node --format='%N %c %m %G'` shows the cores, MiB of memory and GPUs of each"
    if re.search("contact|timed out|authentication", words):
        return "Type it again when SLURM's controller answers: sinfo"
    if "submit limit" in words:
        return "With --at-once N, no more than 4 * N jobs are submitted at a time; or ask for less"
    return "sinfo shows what there is"
