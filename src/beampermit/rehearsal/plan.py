"""What a workflow file promises: the jobs that must succeed, and the code that they run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput
from beampermit.workflows.expansion import LEVELS, StartedJob, expand
from beampermit.workflows.uses import Use, find_uses
from beampermit.workflows.work import limited_work
from beampermit.workflows.workflow import FOLDER, Job, Workflow, read_workflow

OPTIONAL = re.compile(r"\$\{\{\s*inputs\.([\w-]+) != '' && (\([^()]*\)|[^|()]*)\s*\}\}")
"""The condition of a job that runs only for callers that set an input: `inputs.gpu-labels != '' && (...)`."""
BUILT_IN = "actions/checkout"
"""The action that act implements itself."""


@dataclass(frozen=True)
class Expected:
    """One job that must run. `key` is act's name for it; `name` is the name of its check on GitHub."""

    key: str
    name: str
    needs: tuple[str, ...]
    """Names of the jobs that run before it."""
    conditions: tuple[str, ...]
    """Its own `if` and those of the jobs that call it."""
    matrix: bool = False


@dataclass(frozen=True)
class Plan:
    """`repositories` maps `owner/name@revision` to the local folder that act uses in its place."""

    workflow: Workflow
    jobs: tuple[Expected, ...]
    repositories: Mapping[str, Path]
    fetched: tuple[str, ...]
    """Repositories that act fetches from the network."""


def make_plan(project: Path, file: str, own: Path, artifacts: Mapping[str, Path]) -> Plan:
    """Read the workflow `file` of `project` and all that it calls.

    `own` is this Beampermit's code, which is run whatever commit of it a file names. `artifacts` are the replacements
    of the artifact actions, by name. Raises `BadInput` for a file that is missing or cannot be read.
    """
    sources = _Sources(project, own, artifacts)
    workflow = sources.read(project, file)
    with limited_work() as work:
        work.file = file
        started = expand(workflow, sources.find, leave_out=_is_switched_off)
    for calling in started:
        if calling.job.uses and len(calling.path) == LEVELS:
            use = calling.job.uses
            raise BadInput(f"GitHub allows at most {LEVELS} levels of reusable workflows", file=use.file, line=use.line)
    jobs = tuple(_expected(job, started) for job in started if job.job.uses is None)
    return Plan(workflow, jobs, sources.repositories, tuple(sorted(sources.fetched)))


def _expected(started: StartedJob, all_jobs: tuple[StartedJob, ...]) -> Expected:
    callers = {job.path: job for job in all_jobs if job.path == started.path[: len(job.path)]}
    before = [(*path[:-1], need) for path in sorted(callers, key=len, reverse=True) for need in callers[path].job.needs]
    needs = (job.name for path in before for job in all_jobs if job.job.uses is None and _is_below(job, path))
    caller = callers.get(started.path[:-1])
    key = f"{started.workflow.name}/{started.job.name}"
    return Expected(
        key=f"{caller.job.name}/{key}" if caller else key,
        name=started.name,
        needs=tuple(needs),
        conditions=started.conditions,
        matrix=started.job.matrix is not None,
    )


def _is_below(started: StartedJob, path: tuple[str, ...]) -> bool:
    return started.path[: len(path)] == path


def _is_switched_off(job: Job, inputs: Mapping[str, Any]) -> bool:
    """Whether its condition begins with an input that its caller leaves empty."""
    match = OPTIONAL.fullmatch(job.condition.strip())
    return match is not None and inputs.get(match[1], match) in ("", None)


class _Sources:
    """Where workflows and actions are read from: the project, and this Beampermit."""

    def __init__(self, project: Path, own: Path, artifacts: Mapping[str, Path]):
        self._project = project
        self._own = own
        self._artifacts = artifacts
        self._seen: set[Path] = set()
        self.repositories: dict[str, Path] = {}
        self.fetched: set[str] = set()

    def find(self, use: Use) -> Workflow:
        if use.is_local:
            return self.read(self._project, use.path)
        if not (self._own / use.path).is_file():
            raise BadInput(
                f"{use.text!r} is not a workflow of the installed Beampermit, so it cannot be rehearsed",
                file=use.file,
                line=use.line,
                hint=f"ls {FOLDER}",
            )
        return self.read(self._own, use.path)

    def read(self, root: Path, file: str) -> Workflow:
        path = root / file
        if not path.is_file():
            raise BadInput("there is no such workflow", file=file, hint=f"ls {FOLDER}")
        text = path.read_text(encoding="utf-8", errors="replace")
        self._locate_uses(path, text, file)
        workflow = read_workflow(text, file)
        _check_needs(workflow)
        return workflow

    def _locate_uses(self, path: Path, text: str, file: str) -> None:
        """Find a folder for everything that a workflow or action uses, and for what that uses in turn."""
        if path in self._seen:
            return
        self._seen.add(path)
        for use in find_uses(text, file):
            if not use.repository or use.repository == BUILT_IN:
                continue
            owner, _, name = use.repository.partition("/")
            local = self._own / use.path
            if owner == "actions" and name in self._artifacts:
                self.repositories[f"{use.repository}@{use.revision}"] = self._artifacts[name]
            elif use.path.startswith(("actions/", f"{FOLDER}/")) and local.exists() and self._is_own(use, path):
                self.repositories[f"{use.repository}@{use.revision}"] = self._own
                action = local / "action.yml"
                if action.is_file():
                    self._locate_uses(action, action.read_text(encoding="utf-8"), f"{use.path}/action.yml")
            else:
                self.fetched.add(f"{use.repository}@{use.revision}")

    def _is_own(self, use: Use, file: Path) -> bool:
        """Whether it is this repository or a mirror of it: one of our files uses it, or it has our workflows."""
        mirrors = {name.partition("@")[0] for name, folder in self.repositories.items() if folder == self._own}
        return file.is_relative_to(self._own) or use.path.startswith(f"{FOLDER}/ml-") or use.repository in mirrors


def _check_needs(workflow: Workflow) -> None:
    """Raises `BadInput` for a needed job that does not exist, or jobs that form a dependency cycle."""
    for job in workflow.jobs.values():
        for need in job.needs:
            if need not in workflow.jobs:
                raise BadInput(
                    f"job {job.id!r} needs {need!r}, which does not exist", file=workflow.file, line=job.line
                )
    try:
        TopologicalSorter({id: job.needs for id, job in workflow.jobs.items()}).prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise BadInput(f"jobs form a dependency cycle: {circle}", file=workflow.file) from None
