"""Workflow and action files as GitHub reads them: events, jobs and steps, with line numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import beampermit
from beampermit.errors import BadInput
from beampermit.workflows.tree import line_of, line_of_item, lines_of, mapping, read_tree
from beampermit.workflows.uses import Use

FOLDER = ".github/workflows"


@dataclass(frozen=True)
class Step:
    """One step of a job or of a composite action. `lines` maps its keys to lines, and "" to its first line.

    The names of the inputs in `given` are in lower case, for GitHub reads them in any.
    """

    run: str
    uses: str
    given: Mapping[str, Any]
    env: Mapping[str, Any]
    lines: Mapping[str, int]
    shell: str = ""
    id: str = ""

    @property
    def action(self) -> str:
        """The action without its revision, as GitHub reads it: in any case, with `/` or `\\`, once or repeated."""
        return "/".join(filter(None, re.split(r"[/\\]", self.uses.partition("@")[0].lower())))

    @property
    def script(self) -> str:
        """What it runs: its `run:`, or the script that it gives to `actions/github-script`."""
        return str(self.given.get("script", "")) if self.action == "actions/github-script" else self.run

    def line(self, key: str = "") -> int:
        """The line of a key; the first line of the step where it has no such key."""
        return self.lines.get(key, self.lines[""])


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
    matrix: Any
    """None where there is none; a text where an expression computes it."""
    steps: tuple[Step, ...] = ()
    env: Mapping[str, Any] = field(default_factory=dict)
    """Those of its container included."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    shell: str = ""
    """The default of its steps: its own, or that of the workflow."""
    permissions: Any = None
    secrets: Any = None
    environment: Any = None
    lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Workflow:
    """A workflow file. `defaults` are the defaults of a reusable workflow's inputs."""

    file: str
    name: str
    events: Mapping[str, Any]
    """Each event that starts it, with its filters."""
    jobs: Mapping[str, Job]
    defaults: Mapping[str, Any]
    env: Mapping[str, Any] = field(default_factory=dict)
    permissions: Any = None
    lines: Mapping[str, int] = field(default_factory=dict)
    """Lines of its top-level keys and of its events (`on.push`)."""


def read_workflow(text: str, file: str) -> Workflow:
    """Read a workflow; `file` is its name in errors. Raises `BadInput` with file and line."""
    tree = read_tree(text, file)
    jobs = tree.get("jobs")
    if not isinstance(jobs, Mapping) or not jobs:
        raise BadInput("this workflow has no jobs", file=file, line=1)
    events = _expected(tree, "on", str | list | Mapping, file)
    if not _events(events):
        raise BadInput("nothing starts this workflow: the key `on` is missing or empty", file=file, line=1)
    event_lines = lines_of(events, "on.") if isinstance(events, Mapping) else {}
    return Workflow(
        file=file,
        name=str(tree.get("name") or Path(file).name),
        events=_events(events),
        jobs={str(id): _job(str(id), body, line_of(jobs, id), file, _shell(tree)) for id, body in jobs.items()},
        defaults=_defaults(events, file),
        env=mapping(tree.get("env")),
        permissions=tree.get("permissions"),
        lines={**lines_of(tree), **event_lines},
    )


def read_action(text: str, file: str) -> tuple[Step, ...]:
    """The steps of a composite action; none of any other kind. Raises `BadInput` with file and line."""
    return _steps(mapping(read_tree(text, file).get("runs")).get("steps"))


def _shell(holder: Mapping[Any, Any]) -> str:
    return str(mapping(mapping(holder.get("defaults")).get("run")).get("shell") or "")


def _job(id: str, body: Any, line: int, file: str, shell: str) -> Job:
    if not isinstance(body, Mapping):
        raise BadInput(f"job {id!r} is not a mapping", file=file, line=line)
    needs = _expected(body, "needs", str | list, file) or ()
    strategy = body.get("strategy")
    called = body.get("uses")
    container = mapping(body.get("container"))
    lines = lines_of(body)
    return Job(
        id=id,
        name=str(body.get("name") or id),
        line=line,
        needs=(needs,) if isinstance(needs, str) else tuple(str(need) for need in needs),
        condition=str(body["if"]) if "if" in body else "",
        runs_on=body.get("runs-on"),
        uses=Use(str(called), file, line_of(body, "uses"), called=True) if called else None,
        given=_inputs(body.get("with")),
        matrix="${{ strategy.matrix }}" if isinstance(strategy, str) else mapping(strategy).get("matrix"),
        steps=_steps(body.get("steps")),
        env={**mapping(container.get("env")), **mapping(body.get("env"))},
        outputs=mapping(body.get("outputs")),
        shell=_shell(body) or shell,
        permissions=body.get("permissions"),
        secrets=body.get("secrets"),
        environment=body.get("environment"),
        lines=lines if "env" in lines or "env" not in container else {**lines, "env": line_of(container, "env")},
    )


def _steps(steps: Any) -> tuple[Step, ...]:
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        return ()
    return tuple(
        Step(
            run=str(step.get("run") or ""),
            uses=str(step.get("uses") or ""),
            given=_inputs(step.get("with")),
            env=mapping(step.get("env")),
            lines={"": line_of_item(steps, number), **lines_of(step)},
            shell=str(step.get("shell") or ""),
            id=str(step.get("id") or ""),
        )
        for number, step in enumerate(steps)
        if isinstance(step, Mapping)
    )


def _inputs(given: Any) -> dict[str, Any]:
    return {str(name).lower(): value for name, value in mapping(given).items()}


def _events(on: Any) -> dict[str, Any]:
    if isinstance(on, str):
        return {on: None}
    if isinstance(on, Mapping):
        return {str(name): filters for name, filters in on.items()}
    return dict.fromkeys(map(str, on or ()))


def _defaults(events: Any, file: str) -> dict[str, Any]:
    call = _expected(mapping(events), "workflow_call", Mapping, file) or {}
    inputs = _expected(call, "inputs", Mapping, file) or {}
    return {str(name).lower(): (_expected(inputs, name, Mapping, file) or {}).get("default") for name in inputs}


def _expected(holder: Mapping[Any, Any], key: Any, kind: Any, file: str) -> Any:
    """The value of a key, if it is of that kind or empty. Raises `BadInput` with file and line."""
    value = holder.get(key)
    if value is not None and not isinstance(value, kind):
        raise BadInput(f"`{key}: {value}` is not what GitHub expects there", file=file, line=line_of(holder, key))
    return value


def own_root() -> Path:
    """The folder with `actions` and `.github`: the checkout, or the copy inside the wheel."""
    package = Path(beampermit.__file__).parent
    checkout = package.parents[1]
    return checkout if (checkout / "actions").is_dir() else package / "_source"


def own_workflows() -> dict[str, str]:
    """The reusable workflows that projects call: path -> text."""
    files = sorted((own_root() / FOLDER).glob("ml-*.yml"))
    return {f"{FOLDER}/{file.name}": file.read_text(encoding="utf-8") for file in files}
