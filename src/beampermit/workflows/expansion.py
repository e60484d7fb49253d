"""The jobs that a workflow starts: its own and those of the reusable workflows that it calls."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice, product
from typing import Any

from beampermit.errors import BadInput
from beampermit.workflows.expressions import (
    MOST_COMBINATIONS,
    UNKNOWN,
    Partly,
    distinct,
    expressions_in,
    is_plain,
    possible_values,
    truths,
    typed,
)
from beampermit.workflows.uses import Use
from beampermit.workflows.work import spend
from beampermit.workflows.workflow import FOLDER, Job, Workflow, read_workflow

LEVELS = 10
"""Levels of workflows that may be connected, the caller's included.

GitHub's limit since November 2025 (four before, and on GitHub Enterprise Server): docs.github.com, *Reuse workflows*,
section *Nesting reusable workflows*.
"""
MOST_JOBS = 2000
"""Limit of jobs that one event may start: a few workflows that call each other many times make millions."""

_OUTCOME = re.compile(r"(?<![\w.-])(always|success|failure|cancelled)\(", re.IGNORECASE)

Find = Callable[[Use], Workflow | None]
"""Finds the workflow that a job calls; None where it is not available. May raise `BadInput`."""


@dataclass(frozen=True)
class StartedJob:
    """A job with the inputs of its workflow and the job that calls it."""

    path: tuple[str, ...]
    """The id of the job, after those of the jobs that call its workflow."""
    name: str
    """The name of its check on GitHub: `caller / job`."""
    job: Job
    workflow: Workflow
    inputs: tuple[Mapping[str, Any], ...]
    """The inputs of its workflow, once for each set of values that its callers may give."""
    caller: StartedJob | None = None
    needed: tuple[StartedJob, ...] = ()
    called_at: tuple[str, int] | None = None
    """File and line where the repository calls it, for a job from another repository."""
    known: Mapping[str, Any] = field(default_factory=dict)
    """Further contexts of expressions, such as `github`, as far as they are known."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """The `if` of every calling job, then its own."""
        above = self.caller.conditions if self.caller else ()
        return (*above, self.job.condition) if self.job.condition else above

    def may_run(self) -> bool:
        """Whether its condition, its callers', and those of the jobs that they need can be true."""
        pending, seen = [self], set[tuple[str, ...]]()
        while pending:
            one = pending.pop()
            spend(1 + len(one.needed))
            if one.path in seen:  # many jobs may need the same ones, which need the same ones
                continue
            seen.add(one.path)
            if not one._may_pass({}):
                return False
            pending += [one.caller] if one.caller else []
            if not one._may_pass({"success()": False}):
                pending += one.needed
        return True

    def _may_pass(self, outcome: Mapping[str, bool]) -> bool:
        """Whether its own condition can be true. GitHub adds `success()` to one that asks for no outcome."""
        condition = self.job.condition or "true"
        text = condition if "${{" in condition else f"${{{{ {condition} }}}}"
        if not outcome.get("success()", True) and not any(map(_OUTCOME.search, expressions_in(text))):
            return False
        if text != text.strip():  # what stands beside `${{ }}`, be it the line break of `if: |`, makes a text: true
            return True
        contexts = ({**self.known, **outcome, "inputs": inputs} for inputs in self.inputs)
        return any(True in truths(value) for known in contexts for value in possible_values(text, known))

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
        if not isinstance(value, str) or "${{" not in value:
            return (value,)
        if value not in self._values:
            all_values = (one for contexts in self.contexts for one in possible_values(value, contexts))
            self._values[value] = distinct(all_values)
        return self._values[value]

    @cached_property
    def _values(self) -> dict[str, tuple[Any, ...]]:
        """What `values` has found: the steps of a job repeat each other."""
        return {}


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
        path, name, at = (caller.path, f"{caller.name} / ", caller.called_at) if caller else ((), "", None)
        path, name = (*path, job.id), f"{name}{job.name}"
        return StartedJob(path, name, job, workflow, inputs, caller, called_at=at, known=self.known)


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


def combinations(matrix: Any, contexts: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The values of `matrix` in each job that it starts; more than there are where the files do not tell."""
    if matrix is None:
        return ({},)
    filled = _filled(matrix, contexts)
    if not isinstance(filled, Mapping):
        return (Partly(),)
    axes = {name: values for name, values in filled.items() if name not in ("include", "exclude")}
    lists = [values if isinstance(values, list) else [UNKNOWN] for values in axes.values()]
    if math.prod(map(len, lists)) > MOST_COMBINATIONS:
        return (Partly(),)
    spend(math.prod(map(len, lists)) * len(axes))
    started = [dict(zip(axes, values, strict=True)) for values in product(*lists)] if axes else []
    excluded = filled.get("exclude")
    for entry in excluded if isinstance(excluded, list) else ():
        spend(len(started))
        started = [one for one in started if not (isinstance(entry, Mapping) and _agrees(entry, one) is True)]
    included = filled.get("include", [])
    if not isinstance(included, list) or not all(isinstance(entry, Mapping) for entry in included):
        return (*map(Partly, started), Partly())
    return _with_included(started, included, axes.keys()) or (Partly(),)


def _with_included(
    started: list[dict[str, Any]], included: list[Mapping[str, Any]], axes: Iterable[str]
) -> tuple[Mapping[str, Any], ...]:
    """As GitHub does it: an entry extends each combination whose own values it repeats, or else is a further one."""
    further: list[Mapping[str, Any]] = []
    for entry in included:
        spend(sum(map(len, started)) + len(started))
        own = {name: entry[name] for name in axes if name in entry}
        agreements = [_agrees(own, one) for one in started]
        if not any(agreement is True for agreement in agreements):
            further.append(entry)
        as_before = [one for one, agreement in zip(started, agreements, strict=True) if agreement is not True]
        extended = [
            {**one, **entry} for one, agreement in zip(started, agreements, strict=True) if agreement is not False
        ]
        started = [*as_before, *extended]
        if len(started) + len(further) > 2 * MOST_COMBINATIONS:
            return (Partly(),)
    return (*started, *further)


def _agrees(entry: Mapping[str, Any], one: Mapping[str, Any]) -> bool | None:
    """Whether a combination has all values of an entry; None where that cannot be told."""
    pairs = [(value, one.get(name)) for name, value in entry.items()]
    if any(value != own for value, own in pairs if is_plain(value) and is_plain(own)):
        return False
    # `1` and `true` are equal here, but not on GitHub.
    return True if all(is_plain(value) and typed(value) == typed(own) for value, own in pairs) else None


def _filled(value: Any, contexts: Mapping[str, Any]) -> Any:
    """`value` with the expressions inside it evaluated. An item of a list that has several values becomes several."""
    spend(1)
    if isinstance(value, Mapping):
        return {str(name): _filled(inner, contexts) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [one for inner in value for one in _items(inner, contexts)]
    values = possible_values(value, contexts)
    return values[0] if len(values) == 1 else UNKNOWN


def _items(value: Any, contexts: Mapping[str, Any]) -> tuple[Any, ...]:
    return possible_values(value, contexts) if isinstance(value, str) else (_filled(value, contexts),)


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
