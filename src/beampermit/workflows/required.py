"""The check that a ruleset requires, by the name under which workflows report it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beampermit.errors import Failed
from beampermit.workflows.lint.reach import Reached, Walk
from beampermit.workflows.workflow import FOLDER, Workflow, read_workflow

NAME = "permit"
PULL_REQUEST = "pull_request"
QUEUE = "merge_group"


@dataclass(frozen=True)
class Reported:
    """A check and the workflow that reports it."""

    context: str
    file: str
    queued: bool
    """Whether it is reported for merge groups too."""


def find_permit(texts: Mapping[str, str], own: Mapping[str, str]) -> Reported:
    """The one job `permit` that pull requests start; its check is called `<calling job> / permit`.

    Raises `Failed` where there is none, where there are several, or where GitHub could call it passed without a run.
    """
    workflows = {file: read_workflow(text, file) for file, text in texts.items() if file.startswith(f"{FOLDER}/")}
    walk = Walk(workflows, {file: read_workflow(text, file) for file, text in own.items()})
    found = [(entry, job) for entry in workflows.values() for job in walk.jobs(entry) if _on_heads(entry)]
    permits = [(entry, job) for entry, job in found if _is_permit(job) and PULL_REQUEST in entry.events]
    if not permits:
        raise Failed(f"no job called {NAME!r} is started by pull requests: no check can be required", file=FOLDER)
    entry, permit = permits[0]
    others = [(other, job) for other, job in found if job.name == permit.name and (other, job) != (entry, permit)]
    if others or len(permits) > 1:
        second, job = (others or permits[1:])[0]
        raise Failed(
            f"{job.name!r} is reported here and by {entry.file}: one of the two would do; rename one",
            file=second.file,
            line=job.outside[1] if job.outside else job.job.line,
        )
    _must_always_run(permit, entry)
    return Reported(permit.name, entry.file, QUEUE in entry.events)


def _must_always_run(permit: Reached, entry: Workflow) -> None:
    """A required check that is skipped counts as passed. Raises `Failed`."""
    condition = permit.job.condition.removeprefix("${{").removesuffix("}}").strip()
    if (permit.job.needs or condition) and condition != "always()":
        raise Failed(
            f"the job {permit.name!r} can be skipped, which GitHub counts as passed; give it `if: always()`",
            file=entry.file,
            line=permit.outside[1] if permit.outside else permit.job.line,
        )


def _is_permit(reached: Reached) -> bool:
    return reached.job.uses is None and reached.name.rpartition(" / ")[2] == NAME


def _on_heads(entry: Workflow) -> bool:
    """Whether it reports checks on heads of pull requests: by that event, or by pushes to any branch."""
    return any(_reaches_heads(event, filters) for event, filters in entry.events.items())


def _reaches_heads(event: str, filters: object) -> bool:
    if event == "push":
        return not (isinstance(filters, Mapping) and ("branches" in filters or set(filters) == {"tags"}))
    return event in (PULL_REQUEST, "pull_request_target")
