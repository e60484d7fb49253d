"""Arrays of SLURM through submitit, and what runs in a job of them. Nobody but `slurm.py` imports this: it is slow."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import DelayedSubmission, FailedSubmissionError, UncompletedJobError

from beampermit.cache import VARIABLE as CACHE
from beampermit.compute import worker
from beampermit.errors import Outside
from beampermit.processes import clean_variables

OF_A_MACHINE = ("TERM", "TMPDIR", "TEMP", "TMP", "CI", "SHELL", "XDG_CACHE_HOME")
"""Variables of where we are, which say nothing about a node."""
DEALT = ("_VISIBLE_DEVICES", "_NUM_THREADS")
"""Ends of names of those that SLURM and the worker set."""


@dataclass(frozen=True)
class Chunk:
    """What an element of an array does. All that it has to know is in a file, so a job that is queued again goes on."""

    task: str

    def __call__(self) -> int:
        return worker.do_task(self.task)

    def checkpoint(self) -> DelayedSubmission:
        """Called by submitit when time is up: it queues the job again. Units that are done are skipped then."""
        return DelayedSubmission(self)


def submit(room: Path, tasks: Sequence[Path], parameters: dict[str, Any], requeues: int) -> str:
    """Submit one array, an element for each task; give its job id. Raises `Outside` with the words of sbatch."""
    # -P: a file of the folder where somebody stands is no module of ours.
    executor = SlurmExecutor(room, max_num_timeout=requeues, python=f"{shlex.quote(sys.executable)} -P")
    try:
        executor.update_parameters(
            **parameters,
            wckey=None,
            # What sbatch exports is all that the script has, and the step gets that. It is one process on the first
            # machine; a team reaches the others by steps of its own (`team.py`).
            srun_args=["--export=ALL", "--nodes=1", "--ntasks=1", f"--cpus-per-task={parameters['cpus_per_task']}"],
            additional_parameters={"export": ",".join(exported()), "chdir": str(room), "requeue": True},
        )
        with _without("SBATCH_EXPORT", "SBATCH_GET_USER_ENV", "SBATCH_ARRAY_INX", "SBATCH_JOB_NAME"):
            jobs = executor.submit_array([Chunk(str(task)) for task in tasks])
    except (UncompletedJobError, FailedSubmissionError) as error:
        raise Outside(f"sbatch refuses the job: {_words(str(error))}", hint="sinfo shows what there is") from None
    return str(jobs[0].job_id).partition("_")[0]


def exported() -> list[str]:
    """Names of the variables that a job gets: where things are, and no secret."""
    names = {name for name in clean_variables() if name not in OF_A_MACHINE and not name.endswith(DEALT)}
    return sorted(names | ({CACHE} & set(os.environ))) or ["PATH"]


@contextmanager
def _without(*names: str) -> Iterator[None]:
    """Variables of a user that would overrule what the script says."""
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def _words(text: str) -> str:
    """The lines of sbatch in what submitit says of it."""
    lines = [line.partition("sbatch: error: ")[2].strip() for line in text.splitlines() if "sbatch: error: " in line]
    return "; ".join(lines) or " ".join(text.split())[-300:]
