"""The check that a ruleset requires, by the name under which workflows report it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beampermit.errors import Failed
from beampermit.workflows.expansion import Library, StartedJob, expand, read_workflows
from beampermit.workflows.work import limited_work
from beampermit.workflows.workflow import FOLDER, Workflow

NAME = "permit"
PULL_REQUEST = "pull_request"
MERGE_QUEUE = "merge_group"


@dataclass(frozen=True)
class RequiredCheck:
    """A check and the workflow file that reports it."""

    context: str
    file: str
    in_merge_queue: bool
    """Whether it is reported for merge groups too."""


def find_permit(texts: Mapping[str, str], own: Mapping[str, str]) -> RequiredCheck:
    """The one job `permit` that pull requests start; its check is called `<calling job> / permit`.

    Raises `Failed` where there is none, where there are several, or where it could be skipped.
    """
    workflows = read_workflows(texts)
    library = Library(workflows, own)
    jobs: list[tuple[Workflow, StartedJob]] = []
    with limited_work() as work:
        for entry in filter(_on_heads, workflows.values()):
            work.file = entry.file
            jobs += ((entry, job) for job in expand(entry, library.find))
    permits = [(entry, job) for entry, job in jobs if PULL_REQUEST in entry.events and _is_permit(job)]
    if not permits:
        raise Failed(f"pull requests start no job named {NAME!r}, so no check can be required", file=FOLDER)
    entry, permit = permits[0]
    others = [(other, job) for other, job in jobs if job.name == permit.name and (other, job) != (entry, permit)]
    if others or len(permits) > 1:
        second, job = (others or permits[1:])[0]
        raise Failed(
            f"{job.name!r} is reported here and by {entry.file}, and either could pass for the other; rename one",
            file=second.file,
            line=_line(job),
        )
    condition = permit.job.condition.removeprefix("${{").removesuffix("}}").strip()
    if (permit.job.needs or condition) and condition != "always()":
        raise Failed(
            f"job {permit.name!r} can be skipped, which GitHub counts as passed; give it `if: always()`",
            file=entry.file,
            line=_line(permit),
        )
    return RequiredCheck(permit.name, entry.file, MERGE_QUEUE in entry.events)


def _line(started: StartedJob) -> int:
    return started.called_at[1] if started.called_at else started.job.line


def _is_permit(started: StartedJob) -> bool:
    return started.job.uses is None and started.name.rpartition(" / ")[2] == NAME


def _on_heads(entry: Workflow) -> bool:
    """Whether it reports checks on heads of pull requests: by that event, or by pushes to any branch."""
    return any(_reaches_heads(event, filters) for event, filters in entry.events.items())


def _reaches_heads(event: str, filters: object) -> bool:
    if event == "push":
        return not (isinstance(filters, Mapping) and ("branches" in filters or set(filters) == {"tags"}))
    return event in (PULL_REQUEST, "pull_request_target")
