"""Apply every rule to the workflows and actions of a repository, with what is known of whoever starts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beampermit.workflows.expansion import Library, StartedJob, expand, read_workflows
from beampermit.workflows.expressions import TRUSTED, UNKNOWN, Numbered, Partly, Repository
from beampermit.workflows.lint.rules import (
    ACTION_RULES,
    FORK_EVENTS,
    FORK_RULES,
    JOB_RULES,
    STEP_RULES,
    WORKFLOW_RULES,
    JobRule,
    is_only_called,
)
from beampermit.workflows.work import Work, limited_work, spend
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
                defects.update(_check_action(file, read_action(text, file)))
            else:
                defects.update(_check_workflow(workflows[file]))
        for entry, jobs, rules in _starts(workflows, library, work):
            for key, defect in _check_jobs(entry, jobs, rules):
                in_jobs.setdefault(key, defect)
    return Linted(tuple(sorted({*defects, *in_jobs.values()})), tuple(sorted(library.not_found)))


def _starts(
    workflows: Mapping[str, Workflow], library: Library, work: Work
) -> Iterator[tuple[Workflow, tuple[StartedJob, ...], Mapping[str, JobRule]]]:
    """Each workflow that something starts, with all its jobs, once more for each event of a fork's pull request.

    Of those that are only called, only the ones not called here: a workflow that others call is judged with the
    inputs, conditions and events of its callers in this repository.
    """
    called = {
        job.uses.path for one in workflows.values() for job in one.jobs.values() if job.uses and job.uses.is_local
    }
    reached: set[str] = set()
    for entry in sorted(workflows.values(), key=lambda one: (is_only_called(one), one.file in called)):
        if is_only_called(entry) and entry.file in reached:
            continue
        work.file = entry.file
        for event in starting_events(entry):
            jobs = expand(entry, library.find, inputs=inputs_at_start(entry), known=known_at_start(entry, event))
            reached |= {started.workflow.file for started in jobs if started.called_at is None}
            yield entry, jobs, FORK_RULES if event else JOB_RULES


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


def _check_action(file: str, steps: Sequence[Step]) -> Iterator[Defect]:
    yield from _check_steps(file, steps)
    for name, rule in ACTION_RULES.items():
        for line, message in rule(steps):
            yield Defect(file, line, name, message)


def _check_jobs(
    entry: Workflow, jobs: Sequence[StartedJob], rules: Mapping[str, JobRule]
) -> Iterator[tuple[tuple[object, ...], Defect]]:
    """Each defect with what makes it the same as one that is reached in another way."""
    for name, rule in rules.items():
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


_OTHERS = ("sha", "base_ref", "workflow_sha")


def _repository(*, is_ours: bool) -> dict[str, Any]:
    names = {kind: Repository(kind, is_ours) for kind in ("full_name", "id", "node_id")}
    return {**names, "owner": Partly(login=Repository("owner", is_ours))}


_OURS: Mapping[str, Any] = Partly(_repository(is_ours=True), default_branch=TRUSTED)
_BASE = Partly(ref=TRUSTED, sha=TRUSTED, repo=_OURS)
_FORK = Partly(_repository(is_ours=False), fork=True)
_HEAD = Partly(repo=_FORK, user=_FORK["owner"])
_ITS_REF = {"ref": Numbered("refs/pull/0/merge"), "ref_name": Numbered("0/merge"), "ref_type": "branch"}


def inputs_at_start(entry: Workflow) -> tuple[Mapping[str, Any], ...]:
    """The sets of inputs that a workflow may start with.

    An event gives none, and whoever starts it by hand, who has rights in the repository, any. One that is only called
    gets its defaults; its callers are elsewhere, so an input that is empty here is one that they set.
    """
    if is_only_called(entry):
        empty = (None, False, "", "[]", "null")
        return ({name: UNKNOWN if value in empty else value for name, value in entry.defaults.items()},)
    by_hand = {"workflow_dispatch", "workflow_call"} & entry.events.keys()
    return ({}, TRUSTED) if by_hand and not FORK_EVENTS & entry.events.keys() else ({},)


def starting_events(entry: Workflow) -> tuple[str, ...]:
    """The events of a fork's pull request that start it, assumed of a workflow that is only called; "" for the rest."""
    forks = {"pull_request"} if is_only_called(entry) else FORK_EVENTS & entry.events.keys()
    return (*sorted(forks), "")


def known_at_start(entry: Workflow, event: str) -> Mapping[str, Any]:
    """What the expressions of a job may be, if `event` starts it: whatever is not here, somebody outside may set."""
    ours = dict.fromkeys(_OTHERS, TRUSTED)
    ours |= {"repository": _OURS["full_name"], "repository_id": _OURS["id"]}
    ours["repository_owner"] = _OURS["owner"]["login"]
    inputs = {} if event or FORK_EVENTS & entry.events.keys() else TRUSTED
    head = Partly(head=_HEAD, merged=False) if event else Partly(head=Partly(repo=Partly(fork=True)))
    of_event = {**_ITS_REF, "event_name": event} if event else {"ref": TRUSTED, "ref_name": TRUSTED}
    github = Partly(
        ours, **of_event, event=Partly(repository=_OURS, pull_request=Partly(head, base=_BASE), inputs=inputs)
    )
    return {"vars": TRUSTED, "secrets": TRUSTED, "github": github}
