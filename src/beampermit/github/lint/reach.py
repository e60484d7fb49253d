"""Which jobs an event starts: those of the file, and those of the reusable workflows that it calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from beampermit.github.lint.values import resolve
from beampermit.github.uses import Use
from beampermit.github.workflow import FOLDER, Job, Workflow

FORK_EVENTS = frozenset({"pull_request", "pull_request_review", "pull_request_review_comment"})
"""Events whose jobs check out what a stranger wrote."""
PRIVILEGED = frozenset({"pull_request_target", "workflow_run", "issue_comment", "issues", "discussion_comment"})
"""Events that anybody can cause, and whose jobs have the repository's secrets."""
DEEPEST = 10
"""How many reusable workflows may call each other: GitHub's own limit."""


@dataclass(frozen=True, order=True)
class Defect:
    """One place where a stranger gets further than they should; `rule` is a name to look it up by."""

    file: str
    line: int
    rule: str
    words: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.words}"


@dataclass(frozen=True)
class Reached:
    """A job that runs, in `workflow`, with the values of its inputs and the conditions of all who call it."""

    job: Job
    workflow: Workflow
    inputs: Mapping[str, Any]
    conditions: tuple[str, ...]
    """The `if` of every calling job, and the job's own at the end."""
    name: str
    needed: tuple[Reached, ...] = ()
    outside: tuple[str, int] | None = None
    """Where the repository calls it, for a job that stands in no file of the repository."""

    def defect(self, rule: str, words: str, line: int | None = None) -> Defect:
        """A defect of this job: at `line` of its file, or where the repository calls that file."""
        file, at = self.outside or (self.workflow.file, line or self.job.line)
        within = f" ({self.workflow.file}:{line or self.job.line})" if self.outside else ""
        return Defect(file, at, rule, f"job {self.name!r}{within} {words}")


def forks_start(entry: Workflow) -> bool:
    """Whether a stranger's code can run in it; a workflow that is only called is assumed to be."""
    return bool(FORK_EVENTS & entry.events.keys()) or only_called(entry)


def only_called(entry: Workflow) -> bool:
    """Whether nothing but another workflow starts it."""
    return set(entry.events) == {"workflow_call"}


@dataclass
class Walk:
    """The workflows at hand; `elsewhere` collects what is called and is not."""

    workflows: Mapping[str, Workflow]
    own: Mapping[str, Workflow]
    elsewhere: set[str] = field(default_factory=set)

    def jobs(self, entry: Workflow) -> tuple[Reached, ...]:
        """All jobs that `entry` starts, callers replaced by what they call."""
        return tuple(self._expand(entry, dict(entry.defaults), (), "", None, 0))

    def _expand(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Any],
        conditions: tuple[str, ...],
        prefix: str,
        outside: tuple[str, int] | None,
        depth: int,
    ) -> Iterator[Reached]:
        here = {
            job.id: Reached(
                job, workflow, inputs, (*conditions, *filter(None, [job.condition])), f"{prefix}{job.name}", (), outside
            )
            for job in workflow.jobs.values()
        }
        for job in here.values():
            needed = tuple(here[need] for need in job.job.needs if need in here)
            yield replace(job, needed=needed)
            called, is_own = self._called(job.job.uses) if job.job.uses and depth < DEEPEST else (None, False)
            if called is None:
                continue
            given = {name: resolve(value, inputs) for name, value in job.job.given.items()}
            place = outside or ((workflow.file, job.job.line) if is_own else None)
            yield from self._expand(
                called, {**called.defaults, **given}, job.conditions, f"{job.name} / ", place, depth + 1
            )

    def _called(self, use: Use) -> tuple[Workflow | None, bool]:
        """The workflow that is called, and whether it is this Beampermit's own."""
        if use.text.startswith("./"):
            return self.workflows.get(use.path), False
        if use.path.startswith(f"{FOLDER}/ml-") and use.path in self.own:
            return self.own[use.path], True
        self.elsewhere.add(use.text)
        return None, False
