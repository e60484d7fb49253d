"""The result of a rehearsal: each expected job with its outcome."""

from __future__ import annotations

from enum import StrEnum

from beampermit.record import Record

NOT_PROVEN = (
    "permissions of the job's token, approvals and secrets of environments, restrictions of forks, "
    "concurrency, time limits and branch filters"
)
"""What only GitHub applies, so that act cannot test it."""


RULES_NOT_PROVEN = (
    "GIT001 and GIT002 used a stand-in for GitHub that applies .github/rulesets/main.json and ledger.json of the "
    "protected branch; `beampermit protect audit` tells whether GitHub applies it"
)


class Result(StrEnum):
    """How a job ended, or its current state. Only `success` counts."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    SKIPPED = "skipped"


class RehearsedJob(Record):
    """One expected job. `name` is the name of its check on GitHub."""

    name: str
    result: Result
    step: str = ""
    reason: str = ""
    seconds: float = 0.0
    log: str | None = None
    tail: tuple[str, ...] = ()
    """The errors of a failed job, or its last lines of output."""


class Rehearsal(Record):
    """One run of a workflow. `folder` has the event, act's log, a log for each job, and `artifacts`."""

    event: str
    workflow: str
    commit: str
    base: str | None
    head: str
    jobs: tuple[RehearsedJob, ...]
    seconds: float
    folder: str
    artifacts: str
    trouble: str = ""
    """Why the run as a whole failed, where no job tells."""

    @property
    def ok(self) -> bool:
        """Whether every expected job succeeded, and act too."""
        return not self.trouble and all(job.result is Result.SUCCESS for job in self.jobs)

    @property
    def failed(self) -> tuple[RehearsedJob, ...]:
        return tuple(job for job in self.jobs if job.result is not Result.SUCCESS)
