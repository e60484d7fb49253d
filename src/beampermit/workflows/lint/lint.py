"""Apply every rule to the workflows and actions of a repository, and to the workflows they call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from beampermit.workflows.expansion import Library, StartedJob, expand, read_workflows
from beampermit.workflows.expressions import Work, limited_work, spend
from beampermit.workflows.lint.rules import (
    JOB_RULES,
    STEP_RULES,
    WORKFLOW_RULES,
    inputs_at_start,
    is_only_called,
    known_at_start,
)
from beampermit.workflows.workflow import Step, Workflow, read_action


@dataclass(frozen=True, order=True)
class Defect:
    """A place that breaks a rule; `rule` is the rule's name."""

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Linted:
    """`not_followed` are the called workflows that were not available."""

    defects: tuple[Defect, ...]
    not_followed: tuple[str, ...]


def lint(texts: Mapping[str, str], own: Mapping[str, str] | None = None) -> Linted:
    """Check the workflows and actions in `texts` (path -> text). `own` are Beampermit's reusable workflows.

    Raises `BadInput` with file and line for a file that cannot be read.
    """
    workflows = read_workflows(texts)
    library = Library(workflows, own or {})
    defects: set[Defect] = set()
    in_jobs: dict[tuple[object, ...], Defect] = {}
    with limited_work() as work:
        for file, text in texts.items():
            work.file = file
            if file not in workflows:
                defects.update(_check_steps(file, read_action(text, file)))
            else:
                defects.update(_check_workflow(workflows[file]))
        for entry, jobs in _entries(workflows, library, work):
            for key, defect in _check_jobs(entry, jobs):
                in_jobs.setdefault(key, defect)
    return Linted(tuple(sorted({*defects, *in_jobs.values()})), tuple(sorted(library.not_found)))


def _entries(
    workflows: Mapping[str, Workflow], library: Library, work: Work
) -> Iterator[tuple[Workflow, tuple[StartedJob, ...]]]:
    """Each workflow that something starts, with all its jobs; of those that are only called, the ones not called here.

    A workflow that others call is judged with the inputs, conditions and events of its callers in this repository.
    """
    called = {
        job.uses.path for one in workflows.values() for job in one.jobs.values() if job.uses and job.uses.is_local
    }
    reached: set[str] = set()
    for entry in sorted(workflows.values(), key=lambda one: (is_only_called(one), one.file in called)):
        if is_only_called(entry) and entry.file in reached:
            continue
        work.file = entry.file
        jobs = expand(entry, library.find, inputs=inputs_at_start(entry), known=known_at_start(entry))
        reached |= {started.workflow.file for started in jobs if started.called_at is None}
        yield entry, jobs


def _check_workflow(workflow: Workflow) -> Iterator[Defect]:
    for name, rule in WORKFLOW_RULES.items():
        for line, message in rule(workflow):
            yield Defect(workflow.file, line, name, message)
    for job in workflow.jobs.values():
        yield from _check_steps(workflow.file, job.steps)


def _check_steps(file: str, steps: Sequence[Step]) -> Iterator[Defect]:
    for name, rule in STEP_RULES.items():
        for step in steps:
            for line, message in rule(step):
                yield Defect(file, line, name, message)


def _check_jobs(entry: Workflow, jobs: Sequence[StartedJob]) -> Iterator[tuple[tuple[object, ...], Defect]]:
    """Each defect with what makes it the same as one that is reached in another way."""
    for name, rule in JOB_RULES.items():
        spend(sum(10 * (1 + len(started.job.steps)) for started in jobs))
        for started, line, message in rule(entry, jobs):
            defect = _defect(name, started, line or started.job.line, message)
            yield (name, defect.file, defect.line, started.workflow.file, line, started.job.id, message), defect


def _defect(rule: str, started: StartedJob, line: int, message: str) -> Defect:
    """At `line` of the job's file or, for a job from elsewhere, where the repository calls that file."""
    if started.called_at is None:
        return Defect(started.workflow.file, line, rule, f"job {started.name!r} {message}")
    file, calling_line = started.called_at
    place = f"{started.workflow.file}:{line}"
    return Defect(file, calling_line, rule, f"job {started.name!r} ({place}) {message}")
