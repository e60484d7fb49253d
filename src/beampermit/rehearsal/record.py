"""What a rehearsal found: each expected job with its result."""

from __future__ import annotations

from enum import StrEnum

from beampermit.record import Record

NOT_PROVEN = (
    "permissions of the job's token, approvals and secrets of environments, what fork code may do, "
    "concurrency, time limits and branch filters"
)
"""What act cannot prove: only GitHub itself applies it."""


RULES_NOT_PROVEN = (
    "GIT001 and GIT002 asked a stand-in that applies .github/rulesets/main.json of the protected branch as git has it; "
    "whether GitHub does, `beampermit protect audit` tells"
)
"""What a rehearsal cannot know of the branch's protection."""


class Result(StrEnum):
    """How a job ended, or where it stands. Only `success` is good."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    SKIPPED = "skipped"


class RehearsedJob(Record):
    """One job that the workflow files promise. `name` is the name of its check on GitHub."""

    name: str
    result: Result
    step: str = ""
    reason: str = ""
    seconds: float = 0.0
    log: str | None = None
    tail: tuple[str, ...] = ()
    """Of a job that failed: its errors, or the last lines that say something."""


class Rehearsal(Record):
    """One run of the workflow. `folder` keeps the event, act's log, a log for each job, and `artifacts`."""

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
    """Why the run as a whole failed, where no job says it."""

    @property
    def ok(self) -> bool:
        """Every expected job ran and succeeded, and act itself ended well."""
        return not self.trouble and all(job.result is Result.SUCCESS for job in self.jobs)

    @property
    def failed(self) -> tuple[RehearsedJob, ...]:
        """Jobs that did not succeed."""
        return tuple(job for job in self.jobs if job.result is not Result.SUCCESS)
