"""Apply every rule to the workflows and actions of a repository, and to the workflows they call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from beampermit.workflows.expansion import Library, StartedJob, expand, read_workflows
from beampermit.workflows.lint.rules import JOB_RULES, STEP_RULES, WORKFLOW_RULES
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
    for file, text in texts.items():
        if file not in workflows:
            defects.update(_check_steps(file, read_action(text, file)))
    for workflow in workflows.values():
        defects.update(_check_workflow(workflow))
        defects.update(_check_jobs(workflow, expand(workflow, library.find)))
    return Linted(tuple(sorted(defects)), tuple(sorted(library.not_found)))


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


def _check_jobs(entry: Workflow, jobs: Sequence[StartedJob]) -> Iterator[Defect]:
    for name, rule in JOB_RULES.items():
        for started, line, message in rule(entry, jobs):
            yield _defect(name, started, line or started.job.line, message)


def _defect(rule: str, started: StartedJob, line: int, message: str) -> Defect:
    """At `line` of the job's file or, for a job from elsewhere, where the repository calls that file."""
    if started.called_at is None:
        return Defect(started.workflow.file, line, rule, f"job {started.name!r} {message}")
    file, calling_line = started.called_at
    place = f"{started.workflow.file}:{line}"
    return Defect(file, calling_line, rule, f"job {started.name!r} ({place}) {message}")
