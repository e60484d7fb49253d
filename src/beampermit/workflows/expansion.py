"""The jobs that a workflow starts: its own and those of the reusable workflows that it calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice, product
from typing import Any

from beampermit.errors import BadInput
from beampermit.workflows.expressions import (
    MOST_COMBINATIONS,
    Partly,
    combinations,
    distinct,
    possible_values,
)
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
    inputs: tuple[Mapping[str, Any], ...]
    """The inputs of its workflow, once for each set of values that its callers may give."""
    conditions: tuple[str, ...]
    """The `if` of every calling job, then its own."""
    needed: tuple[StartedJob, ...] = ()
    called_at: tuple[str, int] | None = None
    """File and line where the repository calls it, for a job from another repository."""
    known: Mapping[str, Any] = field(default_factory=dict)
    """Further contexts of expressions, such as `github`, as far as they are known."""

    @cached_property
    def contexts(self) -> tuple[Mapping[str, Any], ...]:
        """The contexts of its expressions, once for each set of inputs and values of its matrix."""
        contexts = (
            {**self.known, "inputs": inputs, "matrix": values}
            for inputs in self.inputs
            for values in combinations(self.job.matrix, {**self.known, "inputs": inputs})
        )
        first = tuple(islice(contexts, MOST_COMBINATIONS + 1))
        return first if len(first) <= MOST_COMBINATIONS else ({"inputs": Partly(), "matrix": Partly()},)

    def values(self, value: Any) -> tuple[Any, ...]:
        """All values that a text with expressions may have."""
        if "${{" not in str(value):
            return (value,)
        return distinct(one for contexts in self.contexts for one in possible_values(value, contexts))


def expand(
    entry: Workflow,
    find: Find,
    *,
    inputs: Sequence[Mapping[str, Any]] = (),
    known: Mapping[str, Any] | None = None,
    leave_out: Callable[[Job, Mapping[str, Any]], bool] = lambda *_: False,
) -> tuple[StartedJob, ...]:
    """All jobs that `entry` starts, each calling job before those it calls, without those that `leave_out` names.

    `inputs` are the sets of inputs that it may start with, its defaults if none is given; `known` are contexts of its
    expressions. Calls below the last of the `LEVELS` are not followed. Raises `BadInput` for more than `MOST_JOBS`.
    """
    expansion = _Expansion(find, known or {}, leave_out)
    jobs = tuple(islice(expansion.jobs(entry, tuple(inputs) or (dict(entry.defaults),), None), MOST_JOBS + 1))
    if len(jobs) > MOST_JOBS:
        raise BadInput(f"this workflow starts more than {MOST_JOBS} jobs", file=entry.file)
    return jobs


@dataclass(frozen=True)
class _Expansion:
    find: Find
    known: Mapping[str, Any]
    leave_out: Callable[[Job, Mapping[str, Any]], bool]

    def jobs(
        self, workflow: Workflow, inputs: tuple[Mapping[str, Any], ...], caller: StartedJob | None
    ) -> Iterator[StartedJob]:
        jobs = {
            job.id: self._started(job, workflow, inputs, caller)
            for job in workflow.jobs.values()
            if not all(self.leave_out(job, one) for one in inputs)
        }
        for started in _with_needs(jobs).values():
            yield started
            use = started.job.uses
            called = self.find(use) if use and len(started.path) < LEVELS else None
            if use is None or called is None:
                continue
            called_at = started.called_at or (None if use.is_local else (workflow.file, started.job.line))
            caller_of_these = replace(started, called_at=called_at)
            yield from self.jobs(called, _inputs_given(started, called), caller_of_these)

    def _started(
        self, job: Job, workflow: Workflow, inputs: tuple[Mapping[str, Any], ...], caller: StartedJob | None
    ) -> StartedJob:
        conditions = (job.condition,) if job.condition else ()
        if caller is None:
            return StartedJob((job.id,), job.name, job, workflow, inputs, conditions, known=self.known)
        return StartedJob(
            path=(*caller.path, job.id),
            name=f"{caller.name} / {job.name}",
            job=job,
            workflow=workflow,
            inputs=inputs,
            conditions=(*caller.conditions, *conditions),
            called_at=caller.called_at,
            known=self.known,
        )


def _inputs_given(calling: StartedJob, called: Workflow) -> tuple[Mapping[str, Any], ...]:
    """The inputs of a workflow that a job calls, for each set of values that the job may give."""
    given = calling.job.given
    depends = any("${{" in str(value) for value in given.values())
    sets = (
        {**called.defaults, **dict(zip(given, one, strict=True))}
        for contexts in (calling.contexts if depends else ({},))
        for one in product(*(possible_values(value, contexts) for value in given.values()))
    )
    first = tuple(islice(sets, MOST_COMBINATIONS + 1))
    return distinct(first, MOST_COMBINATIONS) if len(first) <= MOST_COMBINATIONS else (Partly(),)


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
        self._own = own
        self._read: dict[str, Workflow] = {}
        self.not_found: set[str] = set()

    def find(self, use: Use) -> Workflow | None:
        if use.is_local:
            return self._workflows.get(use.path)
        if use.path.startswith(f"{FOLDER}/ml-") and use.path in self._own:
            if use.path not in self._read:  # only those that are called: reading takes most of the time
                self._read[use.path] = read_workflow(self._own[use.path], use.path)
            return self._read[use.path]
        self.not_found.add(use.text)
        return None


def read_workflows(texts: Mapping[str, str]) -> dict[str, Workflow]:
    """The workflows among `texts` (path -> text). Raises `BadInput` with file and line."""
    return {file: read_workflow(text, file) for file, text in texts.items() if file.rpartition("/")[0] == FOLDER}
