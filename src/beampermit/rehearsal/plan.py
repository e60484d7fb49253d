"""What a workflow file promises: the jobs that must succeed, and what must be at hand to run them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput
from beampermit.workflows.uses import Use, uses
from beampermit.workflows.workflow import FOLDER, Job, Workflow, read_workflow

DEEPEST = 4
"""How many reusable workflows may call each other: GitHub's own limit."""
SWITCH = re.compile(r"\$\{\{\s*inputs\.([\w-]+) != '' && (\([^()]*\)|[^|()]*)\s*\}\}")
"""The condition of a job that is there for callers alone that give it something: `inputs.gpu-labels != '' && (...)`."""
BUILT_IN = "actions/checkout"
"""What act does by itself."""


@dataclass(frozen=True)
class Expected:
    """One job that must run. `key` is what act calls it; `name` is the name of its check on GitHub."""

    key: str
    name: str
    needs: tuple[str, ...]
    """Names of the jobs that come before it."""
    conditions: tuple[str, ...]
    """Its own `if` and those of the jobs that call it."""
    matrix: bool = False


@dataclass(frozen=True)
class Plan:
    """The jobs that must run, and the folders that stand for `owner/name@revision`."""

    workflow: Workflow
    jobs: tuple[Expected, ...]
    repositories: Mapping[str, Path]
    elsewhere: tuple[str, ...]
    """What act has to fetch from the network, because nothing here stands for it."""


def make_plan(project: Path, file: str, own: Path, artifacts: Mapping[str, Path]) -> Plan:
    """Read the workflow `file` of `project` and all that it calls.

    `own` is the code at hand: it runs whatever commit of it a file names. `artifacts` are the stand-ins of the artifact
    actions by name. Raises `BadInput` for a file that is missing or cannot be read.
    """
    return _Planner(project, own, artifacts).plan(file)


@dataclass(frozen=True)
class _Caller:
    """What the jobs of a called workflow take over from the job that calls it."""

    key: str = ""
    prefix: str = ""
    needs: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    depth: int = 0
    given: Mapping[str, Any] = field(default_factory=dict)


class _Planner:
    def __init__(self, project: Path, own: Path, artifacts: Mapping[str, Path]):
        self._project = project
        self._own = own
        self._artifacts = artifacts
        self._repositories: dict[str, Path] = {}
        self._elsewhere: set[str] = set()
        self._read: set[Path] = set()

    def plan(self, file: str) -> Plan:
        workflow = self._workflow(self._project, file)
        jobs = self._expand(workflow, _Caller())
        return Plan(workflow, tuple(jobs), self._repositories, tuple(sorted(self._elsewhere)))

    def _expand(self, workflow: Workflow, caller: _Caller) -> list[Expected]:
        """The jobs of a workflow, those that call another one replaced by its jobs."""
        found: dict[str, list[Expected]] = {}
        for id in _in_order(workflow):
            job = workflow.jobs[id]
            needs = tuple(leaf.name for need in job.needs for leaf in found[need]) + caller.needs
            conditions = (*caller.conditions, *filter(None, [job.condition]))
            name = f"{caller.prefix}{job.name}"
            if _is_switched_off(job, {**workflow.defaults, **caller.given}):
                found[id] = []
                continue
            if job.uses is None:
                key = f"{caller.key}{workflow.name}/{job.name}"
                found[id] = [Expected(key, name, needs, conditions, job.matrix is not None)]
                continue
            called = self._called(job.uses, caller.depth)
            inside = _Caller(f"{job.name}/", f"{name} / ", needs, conditions, caller.depth + 1, job.given)
            found[id] = self._expand(called, inside)
        return [leaf for id in workflow.jobs for leaf in found[id]]

    def _called(self, use: Use, depth: int) -> Workflow:
        if depth >= DEEPEST:
            raise BadInput("reusable workflows call each other too deeply", file=use.file, line=use.line)
        if use.text.startswith("./"):
            return self._workflow(self._project, use.path)
        if not (self._own / use.path).is_file():
            raise BadInput(
                f"{use.text!r} is no workflow of the installed Beampermit, so it cannot be rehearsed",
                file=use.file,
                line=use.line,
                hint=f"ls {FOLDER}",
            )
        return self._workflow(self._own, use.path)

    def _workflow(self, root: Path, file: str) -> Workflow:
        path = root / file
        if not path.is_file():
            raise BadInput("this workflow is not there", file=file, hint=f"ls {FOLDER}")
        text = path.read_text(encoding="utf-8", errors="replace")
        self._resolve(path, text, file)
        return read_workflow(text, file)

    def _resolve(self, path: Path, text: str, file: str) -> None:
        """Find a folder for everything that a workflow or action uses, and for what that uses in turn."""
        if path in self._read:
            return
        self._read.add(path)
        for use in uses(text, file):
            if not use.repository or use.repository == BUILT_IN:
                continue
            owner, _, name = use.repository.partition("/")
            ours = self._own / use.path
            if owner == "actions" and name in self._artifacts:
                self._repositories[f"{use.repository}@{use.revision}"] = self._artifacts[name]
            elif use.path.startswith(("actions/", f"{FOLDER}/")) and ours.exists() and self._is_ours(use, path):
                self._repositories[f"{use.repository}@{use.revision}"] = self._own
                action = ours / "action.yml"
                if action.is_file():
                    self._resolve(action, action.read_text(encoding="utf-8"), f"{use.path}/action.yml")
            else:
                self._elsewhere.add(f"{use.repository}@{use.revision}")

    def _is_ours(self, use: Use, file: Path) -> bool:
        """Whether this repository or a mirror of it is meant: one of our files uses it, or it has our workflows."""
        known = {name.partition("@")[0] for name, folder in self._repositories.items() if folder == self._own}
        return file.is_relative_to(self._own) or use.path.startswith(f"{FOLDER}/ml-") or use.repository in known


def _is_switched_off(job: Job, inputs: Mapping[str, Any]) -> bool:
    """Whether the job is not promised: its condition begins with an input that its caller leaves empty."""
    found = SWITCH.fullmatch(job.condition.strip())
    return found is not None and found[1] in inputs and inputs[found[1]] in ("", None)


def _in_order(workflow: Workflow) -> list[str]:
    """Job ids, each after those it needs. Raises `BadInput` for a need that is not there, or a circle."""
    for job in workflow.jobs.values():
        for need in job.needs:
            if need not in workflow.jobs:
                raise BadInput(f"job {job.id!r} needs {need!r}, which is not there", file=workflow.file, line=job.line)
    try:
        return list(TopologicalSorter({id: job.needs for id, job in workflow.jobs.items()}).static_order())
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise BadInput(f"jobs need each other in a circle: {circle}", file=workflow.file) from None
