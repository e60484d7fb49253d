"""Workflow and action files as GitHub reads them: jobs, what they need, what they use, with line numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput
from beampermit.files import naming_yaml_errors

FOLDER = ".github/workflows"
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_IMAGE_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Use:
    """One `uses:` (or a container image), with the line it stands on."""

    text: str
    file: str
    line: int
    image: bool = False

    @property
    def repository(self) -> str:
        """`owner/name`, or nothing for a local path or an image."""
        if self.image or self.text.startswith(("./", "docker://")):
            return ""
        return "/".join(self._target.split("/")[:2])

    @property
    def path(self) -> str:
        """The path inside the repository: of a reusable workflow, or of an action's folder."""
        if self.text.startswith("./"):
            return self.text.removeprefix("./")
        return "/".join(self._target.split("/")[2:])

    @property
    def revision(self) -> str:
        """What stands behind the `@`."""
        return self.text.partition("@")[2]

    @property
    def defect(self) -> str:
        """Why what this runs can change without a change here; nothing where it cannot."""
        if self.image or self.text.startswith("docker://"):
            return "" if _IMAGE_DIGEST.fullmatch(self.text) else "an image is pinned by its digest, `@sha256:...`"
        if self.text.startswith("."):
            return "a local path runs what the checkout holds at that moment; name owner/repository/path@commit"
        if not self.revision:
            return "no commit is named"
        if _COMMIT.fullmatch(self.revision):
            return ""
        kind = "a short commit" if re.fullmatch(r"[0-9a-f]{7,39}", self.revision) else "a tag or branch"
        return f"{self.revision!r} is {kind}, which can be moved"

    @property
    def _target(self) -> str:
        return self.text.partition("@")[0]


@dataclass(frozen=True)
class Job:
    """One job of a workflow. `uses` is set where the job calls a reusable workflow."""

    id: str
    name: str
    line: int
    needs: tuple[str, ...]
    condition: str
    runs_on: Any
    uses: Use | None
    given: Mapping[str, Any]
    matrix: bool

    @property
    def runs_after_failure(self) -> bool:
        """Whether its `if` lets it run although a job it needs failed."""
        return "always()" in self.condition or "!cancelled()" in self.condition.replace(" ", "")


@dataclass(frozen=True)
class Workflow:
    """A workflow file. `defaults` are the defaults of a reusable workflow's inputs."""

    file: str
    name: str
    events: frozenset[str]
    jobs: Mapping[str, Job]
    defaults: Mapping[str, Any]


def read_workflow(text: str, file: str) -> Workflow:
    """Read a workflow; `file` is what errors call it. Raises `BadInput` with file and line."""
    tree = _load(text, file)
    jobs = tree.get("jobs")
    if not isinstance(jobs, Mapping) or not jobs:
        raise BadInput("a workflow has jobs, this file has none", file=file, line=1)
    events = tree.get("on")
    return Workflow(
        file=file,
        name=str(tree.get("name") or Path(file).name),
        events=frozenset([events] if isinstance(events, str) else events or ()),
        jobs={str(id): _job(str(id), body, _line(jobs, id), file) for id, body in jobs.items()},
        defaults=_defaults(events),
    )


def uses(text: str, file: str) -> tuple[Use, ...]:
    """Everything that a workflow or an action file runs from elsewhere, in the order of its lines.

    Raises `BadInput` with file and line.
    """
    tree = _load(text, file)
    return tuple(sorted(_uses(tree, file), key=lambda use: use.line))


def _job(id: str, body: Any, line: int, file: str) -> Job:
    if not isinstance(body, Mapping):
        raise BadInput(f"job {id!r} is not a mapping", file=file, line=line)
    needs = body.get("needs") or ()
    called = body.get("uses")
    return Job(
        id=id,
        name=str(body.get("name") or id),
        line=line,
        needs=(needs,) if isinstance(needs, str) else tuple(str(need) for need in needs),
        condition=str(body["if"]) if "if" in body else "",
        runs_on=body.get("runs-on"),
        uses=Use(str(called), file, _line(body, "uses")) if called else None,
        given=dict(body.get("with") or {}),
        matrix="matrix" in (body.get("strategy") or {}),
    )


def _defaults(events: Any) -> dict[str, Any]:
    call = events.get("workflow_call") if isinstance(events, Mapping) else None
    inputs = (call or {}).get("inputs") or {}
    return {str(name): (body or {}).get("default") for name, body in inputs.items()}


def _uses(tree: Mapping[Any, Any], file: str) -> Iterator[Use]:
    jobs = tree.get("jobs")
    for job in jobs.values() if isinstance(jobs, Mapping) else ():
        if isinstance(job, Mapping):
            yield from _of_job(job, file)
    runs = tree.get("runs")
    if isinstance(runs, Mapping):
        yield from _of_steps(runs.get("steps"), file)
        if str(runs.get("image", "")).startswith("docker://"):
            yield Use(str(runs["image"]), file, _line(runs, "image"), image=True)


def _of_job(job: Mapping[Any, Any], file: str) -> Iterator[Use]:
    if "uses" in job:
        yield Use(str(job["uses"]), file, _line(job, "uses"))
    yield from _of_steps(job.get("steps"), file)
    services = job.get("services")
    bodies = list(services.values()) if isinstance(services, Mapping) else []
    for holder in bodies:
        if isinstance(holder, Mapping) and "image" in holder:
            yield Use(str(holder["image"]), file, _line(holder, "image"), image=True)
    container = job.get("container")
    if isinstance(container, str):
        yield Use(container, file, _line(job, "container"), image=True)
    elif isinstance(container, Mapping) and "image" in container:
        yield Use(str(container["image"]), file, _line(container, "image"), image=True)


def _of_steps(steps: Any, file: str) -> Iterator[Use]:
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        return
    for step in steps:
        if isinstance(step, Mapping) and "uses" in step:
            yield Use(str(step["uses"]), file, _line(step, "uses"))


def _line(holder: Any, key: Any) -> int:
    try:
        return holder.lc.key(key)[0] + 1
    except (AttributeError, KeyError):
        return 1


def _load(text: str, file: str) -> Mapping[Any, Any]:
    from ruamel.yaml import YAML

    with naming_yaml_errors(file):
        tree = YAML(typ="rt").load(text)
    if not isinstance(tree, Mapping):
        raise BadInput("neither a workflow nor an action: not a mapping", file=file, line=1)
    return tree
