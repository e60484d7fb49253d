"""Which jobs an event starts: those of the file, and those of the reusable workflows that it calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from beampermit.errors import BadInput
from beampermit.workflows.uses import Use
from beampermit.workflows.workflow import FOLDER, Job, Workflow

UNKNOWN: Any = object()
"""A value that only GitHub knows: a variable, an output, a calculation."""
_EXPRESSION = re.compile(r"\$\{\{\s*(?P<json>fromJSON\()?(?P<choices>[^{}()]*?)(?(json)\))\s*\}\}")
_NAMED = re.compile(r"(?P<kind>inputs|matrix)\.(?P<name>[\w-]+)|'(?P<text>[^']*)'")
_HOSTED = re.compile(r"(ubuntu|windows|macos)-(latest|\d+(\.\d+)?)(-(arm|intel|large|xlarge|slim|vs\d+))*")


def resolve(value: Any, inputs: Mapping[str, Any], matrix: Mapping[str, Any] | None = None) -> Any:
    """A value of a workflow with what `inputs` and `matrix` say put in; `UNKNOWN` where they do not."""
    if not isinstance(value, str) or "${{" not in value:
        return value
    found = _EXPRESSION.fullmatch(value.strip())
    held = _first(found["choices"], inputs, matrix or {}) if found else UNKNOWN
    if held is UNKNOWN or not found or not found["json"]:
        return held
    try:
        return json.loads(held)
    except (TypeError, ValueError, RecursionError):
        return UNKNOWN


def _first(choices: str, inputs: Mapping[str, Any], matrix: Mapping[str, Any]) -> Any:
    """`a || b`: the first that is not empty."""
    held: Any = ""
    for choice in choices.split("||"):
        named = _NAMED.fullmatch(choice.strip())
        if named is None:
            return UNKNOWN
        if named["text"] is not None:
            held = named["text"]
        else:
            name = named["name"]
            held = _varied(matrix, name) if named["kind"] == "matrix" else inputs.get(name, UNKNOWN)
        if held:
            return held
    return held


def is_hosted(runs_on: Any, inputs: Mapping[str, Any], matrix: Mapping[str, Any] | None) -> bool:
    """Whether GitHub's own machines run it, for sure: a new one for each job, with nothing on it worth reaching."""
    labels = resolve(runs_on, inputs, matrix)
    choices = labels.choices if isinstance(labels, Varied) else (labels,)
    return bool(choices) and all(_is_hosted(choice, inputs, matrix) for choice in choices)


def _is_hosted(labels: Any, inputs: Mapping[str, Any], matrix: Mapping[str, Any] | None) -> bool:
    if isinstance(labels, str):
        return _HOSTED.fullmatch(labels) is not None
    if isinstance(labels, list):
        return len(labels) == 1 and is_hosted(labels[0], inputs, matrix)
    return False


class Varied:
    """The values that a matrix gives one name."""

    def __init__(self, choices: tuple[Any, ...]):
        self.choices = choices


def _varied(matrix: Mapping[str, Any], name: str) -> Any:
    listed, more = matrix.get(name, ()), matrix.get("include", ())
    if not isinstance(listed, list | tuple) or not isinstance(more, list | tuple):
        return UNKNOWN
    added = tuple(one[name] for one in more if isinstance(one, Mapping) and name in one)
    return Varied((*listed, *added)) if listed or added else UNKNOWN


FORK_EVENTS = frozenset({"pull_request", "pull_request_review", "pull_request_review_comment"})
"""Events whose jobs check out what a stranger wrote."""
PRIVILEGED = frozenset({"pull_request_target", "workflow_run", "issue_comment", "issues", "discussion_comment"})
"""Events that anybody can cause, and whose jobs have the repository's secrets."""
DEEPEST = 10
"""How many reusable workflows may call each other: GitHub's own limit."""
MOST = 2000
"""Jobs that are looked at: workflows that call each other many times over are not followed for ever."""


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
        """All jobs that `entry` starts, those of the workflows it calls among them. Raises `BadInput` for too many."""
        found = tuple(islice(self._expand(entry, dict(entry.defaults), (), "", None, 0), MOST + 1))
        if len(found) > MOST:
            raise BadInput(f"this starts more than {MOST} jobs, which nobody reviews", file=entry.file)
        return found

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
        for job in _with_needs(here).values():
            yield job
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


def _with_needs(jobs: Mapping[str, Reached]) -> dict[str, Reached]:
    """Each job with those it needs, and those that these need."""
    found: dict[str, Reached] = {}

    def whole(id: str) -> Reached:
        if id not in found:
            found[id] = jobs[id]  # so that a circle, which GitHub refuses, ends here
            found[id] = replace(jobs[id], needed=tuple(whole(need) for need in jobs[id].job.needs if need in jobs))
        return found[id]

    return {id: whole(id) for id in jobs}
