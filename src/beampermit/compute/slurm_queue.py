"""What SLURM's own commands say: which jobs there are, how they ended, how long an array may be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from beampermit.errors import Outside
from beampermit.processes import Finished, for_tools, run

TIMEOUT = 120.0
"""Seconds that a busy controller may take."""
OVER = frozenset(
    [
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    ]
)
"""States in which nothing runs. A job that is queued again is in one of them for a moment."""
NO_WAITING_HELPS = re.compile(
    r"PartitionConfig|Partition(Node|Time)Limit|BadConstraints|DependencyNeverSatisfied|ReservationDeleted|"
    r"Invalid(Account|QOS)|(Account|QOS)NotAllowed|QOSMin\w+|(Assoc|QOS)Max\w+Per(Job|Node)(Limit)?"
)
"""Reasons for which a job never starts, unless the site changes something. Limits of all jobs of a user are none."""
HELD = re.compile("launch failed requeued held|JobHoldMaxRequeue")
"""Reasons of SLURM itself, not of a person, for which a job stays in the queue."""
MEMORY_SHORT = re.compile(r"exceeded (job |step )?memory limit|\boom[-_]kill", re.IGNORECASE)
TIME_SHORT = "timed-out too many times"
"""Words in the log of a job that failed by SLURM, or by submitit, where its state does not say so."""
NOT_QUEUED_AGAIN = "its time was up, and it could not be queued again"
"""Words in the log of a job on a node that has no scontrol, or whose scontrol was refused."""
USUAL_TIME = 3600.0
USUAL_ARRAY = 1001
"""`MaxArraySize` of a cluster that says nothing."""
AT_ONCE = 500
"""Jobs that one scancel names."""
SHOWN = "%j|%K|%i|%T|%r"


class Listed(NamedTuple):
    """A job in the queue, or one that ended a few minutes ago."""

    job: str
    state: str
    reason: str

    @property
    def over(self) -> bool:
        return self.state in OVER or self.held

    @property
    def held(self) -> bool:
        """A node could not start it, and SLURM keeps it until an administrator lets it go."""
        return self.state == "PENDING" and HELD.match(self.reason.replace("_", " ")) is not None

    @property
    def may_start(self) -> bool:
        """Whether it may begin anew later. One whose node did not answer ends there first, and is queued again."""
        return self.held or self.state == "COMPLETING"


class Place(NamedTuple):
    """An element of an array, by the name of its job; 0 where the job is no array."""

    name: str
    element: int


def listed(names: Sequence[str]) -> dict[Place, Listed]:
    """Our jobs of these names. Raises `Outside` where the controller does not answer."""
    if not names:
        return {}
    done = _asked("squeue", f"--name={','.join(names)}", "--array", "--noheader", "--states=all", f"--format={SHOWN}")
    if done.code:
        raise Outside(f"squeue: {done.tail}", hint="Ask again when SLURM's controller answers: sinfo")
    found: dict[Place, Listed] = {}
    for line in done.out.splitlines():
        name, _, rest = line.strip().partition("|")
        element, job, state, reason = rest.split("|", 3)
        found[Place(name, int(element) if element.isdecimal() else 0)] = Listed(job, state, reason)
    return found


def no_waiting_helps(reason: str) -> bool:
    """Whether a job that is queued for this reason asks for what is not there."""
    return NO_WAITING_HELPS.fullmatch(reason) is not None


def what_was_short(state: str, lines: Sequence[str]) -> str:
    """`--memory` or `--time` where a job ended in this state, with these last lines in its log, for too little of it.

    Only with cgroups is the state OUT_OF_MEMORY; where SLURM looks at the memory now and then, a job has FAILED.
    """
    if state == "OUT_OF_MEMORY":
        return "--memory"
    if state == "TIMEOUT":
        return "--time"
    if state == "FAILED" and any(MEMORY_SHORT.search(line) for line in lines):
        return "--memory"
    return "--time" if state == "FAILED" and any(TIME_SHORT in line for line in lines) else ""


def largest_array() -> int:
    """How many elements an array may have here."""
    try:
        done = _asked("scontrol", "show", "config")
    except Outside:  # some sites have no scontrol where people work
        return USUAL_ARRAY
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.out, re.MULTILINE)
    return max(int(found[1]), 1) if found else USUAL_ARRAY


def usual_time(partition: str) -> float:
    """Seconds that a job gets in a partition (the default one) which asks for none; an hour where nobody says."""
    chosen = [f"--partition={partition}"] if partition else []
    with suppress(Outside):
        for line in _asked("sinfo", "--noheader", "--format=%P|%L|%l", *chosen).out.splitlines():
            name, *limits = line.strip().split("|")
            found = [seconds for limit in limits if (seconds := _seconds(limit))]
            if found and (partition or name.endswith("*")):
                return found[0]
    return USUAL_TIME


def _seconds(text: str) -> float:
    """Of SLURM's `1-02:03:04`, `2:03:04` or `3:04`; 0 for what is no time, as `infinite`."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if not match:
        return 0.0
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def cancel_jobs(jobs: Sequence[str]) -> None:
    """End single jobs; where that fails, they stay in the queue."""
    for first in range(0, len(jobs), AT_ONCE):
        with suppress(Outside):
            _asked("scancel", *jobs[first : first + AT_ONCE])


def cancel(names: Iterable[str]) -> None:
    """End these jobs. Raises `Outside` with the command where that fails."""
    for name in names:
        done = _asked("scancel", f"--name={name}")
        if done.code:
            hint = f"Type this when SLURM's controller answers: scancel --name={name}"
            raise Outside(f"scancel: {done.tail}; jobs named {name} go on", hint=hint)


def _asked(program: str, *arguments: str) -> Finished:
    # A user's SQUEUE_PARTITION would hide jobs, which would then be submitted twice.
    variables = {name: value for name, value in for_tools().items() if not name.startswith(("SQUEUE_", "SCANCEL_"))}
    whose = () if program in ("scontrol", "sinfo") else (f"--user={os.getuid()}",)
    return run([program, *whose, *arguments], cwd=Path("/"), env=variables, timeout=TIMEOUT, clean=True)
