"""The jobs that a workflow starts: its own and those of the reusable workflows that it calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from beampermit.errors import BadInput
from beampermit.workflows.expressions import resolve
from beampermit.workflows.uses import Use
from beampermit.workflows.workflow import FOLDER, Job, Workflow, read_workflow

LEVELS = 10
"""Levels of workflows that may be connected, the caller's included.

GitHub's limit since November 2025 (four before, and on GitHub Enterprise Server): docs.github.com, *Reuse workflows*,
section *Nesting reusable workflows*.
"""
MOST_JOBS = 2000
"""Limit of jobs that one event may start: a few workflows that call each other many times make millions."""

Find = Callable[[Use], Workflow | None]
"""Finds the workflow that a job calls; None where it is not available. May raise `BadInput`."""


@dataclass(frozen=True)
class StartedJob:
    """A job with the inputs of its workflow and the conditions of all jobs that call it."""

    path: tuple[str, ...]
    """The id of the job, after those of the jobs that call its workflow."""
    name: str
    """The name of its check on GitHub: `caller / job`."""
    job: Job
    workflow: Workflow
    inputs: Mapping[str, Any]
    conditions: tuple[str, ...]
    """The `if` of every calling job, then its own."""
    needed: tuple[StartedJob, ...] = ()
    called_at: tuple[str, int] | None = None
    """File and line where the repository calls it, for a job from another repository."""


def expand(
    entry: Workflow, find: Find, *, leave_out: Callable[[Job, Mapping[str, Any]], bool] = lambda *_: False
) -> tuple[StartedJob, ...]:
    """All jobs that `entry` starts, each calling job before those it calls, without those that `leave_out` names.

    Calls below the last of the `LEVELS` are not followed. Raises `BadInput` for more than `MOST_JOBS`.
    """
    jobs = tuple(islice(_expand(entry, dict(entry.defaults), None, find, leave_out), MOST_JOBS + 1))
    if len(jobs) > MOST_JOBS:
        raise BadInput(f"this workflow starts more than {MOST_JOBS} jobs", file=entry.file)
    return jobs


def _expand(
    workflow: Workflow,
    inputs: Mapping[str, Any],
    caller: StartedJob | None,
    find: Find,
    leave_out: Callable[[Job, Mapping[str, Any]], bool],
) -> Iterator[StartedJob]:
    jobs = {
        job.id: _started(job, workflow, inputs, caller) for job in workflow.jobs.values() if not leave_out(job, inputs)
    }
    for started in _with_needs(jobs).values():
        yield started
        use = started.job.uses
        called = find(use) if use and len(started.path) < LEVELS else None
        if use is None or called is None:
            continue
        given = {name: resolve(value, inputs) for name, value in started.job.given.items()}
        called_at = started.called_at or (None if use.is_local else (workflow.file, started.job.line))
        caller_of_these = replace(started, called_at=called_at)
        yield from _expand(called, {**called.defaults, **given}, caller_of_these, find, leave_out)


def _started(job: Job, workflow: Workflow, inputs: Mapping[str, Any], caller: StartedJob | None) -> StartedJob:
    conditions = (job.condition,) if job.condition else ()
    if caller is None:
        return StartedJob((job.id,), job.name, job, workflow, inputs, conditions)
    return StartedJob(
        path=(*caller.path, job.id),
        name=f"{caller.name} / {job.name}",
        job=job,
        workflow=workflow,
        inputs=inputs,
        conditions=(*caller.conditions, *conditions),
        called_at=caller.called_at,
    )


def _with_needs(jobs: Mapping[str, StartedJob]) -> dict[str, StartedJob]:
    """Each job with those it needs, and what these need in turn."""
    complete: dict[str, StartedJob] = {}

    def add_needs(id: str) -> StartedJob:
        if id not in complete:
            complete[id] = jobs[id]  # ends a circle, which GitHub refuses
            needed = tuple(add_needs(need) for need in jobs[id].job.needs if need in jobs)
            complete[id] = replace(jobs[id], needed=needed)
        return complete[id]

    return {id: add_needs(id) for id in jobs}


class Library:
    """The workflows that a job can call: those of the repository, and Beampermit's own under any mirror's name."""

    def __init__(self, workflows: Mapping[str, Workflow], own: Mapping[str, str]):
        self._workflows = workflows
        self._own = {file: read_workflow(text, file) for file, text in own.items()}
        self.not_found: set[str] = set()

    def find(self, use: Use) -> Workflow | None:
        if use.is_local:
            return self._workflows.get(use.path)
        if use.path.startswith(f"{FOLDER}/ml-") and use.path in self._own:
            return self._own[use.path]
        self.not_found.add(use.text)
        return None


def read_workflows(texts: Mapping[str, str]) -> dict[str, Workflow]:
    """The workflows among `texts` (path -> text). Raises `BadInput` with file and line."""
    return {file: read_workflow(text, file) for file, text in texts.items() if file.startswith(f"{FOLDER}/")}
