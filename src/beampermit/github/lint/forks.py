"""What starts a stranger's code, and on which machine it then runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from beampermit.github.lint.guards import is_guarded
from beampermit.github.lint.reach import Defect, Reached, forks_start, only_called
from beampermit.github.lint.values import is_hosted
from beampermit.github.workflow import Workflow


def file_rule(workflow: Workflow) -> Iterator[Defect]:
    """What one file says by itself: events and rights that no job needs."""
    if "pull_request_target" in workflow.events:
        line = workflow.lines.get("on.pull_request_target", workflow.lines.get("on", 1))
        words = "pull_request_target gives a fork's pull request the secrets; use pull_request, then workflow_run"
        yield Defect(workflow.file, line, "pull-request-target", words)
    if workflow.permissions == "write-all":
        yield Defect(workflow.file, workflow.lines["permissions"], "write-all", f"permissions: write-all; {_LEAST}")
    for job in workflow.jobs.values():
        if job.permissions == "write-all":
            words = f"job {job.name!r} has permissions: write-all; {_LEAST}"
            yield Defect(workflow.file, job.lines["permissions"], "write-all", words)


_LEAST = "write `permissions: {}` on top, and in each job what it needs"


def rule(entry: Workflow, jobs: Sequence[Reached]) -> Iterator[Defect]:
    """A fork's code runs on machines that are thrown away, or not at all."""
    if not forks_start(entry):
        return
    for reached in jobs:
        if reached.job.uses or _is_hosted(entry, reached) or is_guarded(reached):
            continue
        line = reached.job.lines.get("runs-on")
        yield reached.defect("fork-runner", f"runs on {_runner(reached)} for forks as well; {_GUARD}", line)


_GUARD = "add `if: github.event.pull_request.head.repo.full_name == github.repository`"


def _is_hosted(entry: Workflow, reached: Reached) -> bool:
    inputs = reached.inputs
    if only_called(entry):
        # Who calls it is not known: an input that is empty here is one that callers give.
        inputs = {name: value for name, value in inputs.items() if value not in (None, "", "[]", "null")}
    return is_hosted(reached.job.runs_on, inputs, reached.job.matrix)


def _runner(reached: Reached) -> str:
    labels = reached.job.runs_on
    return f"a runner of its own choice ({labels})" if isinstance(labels, str) and "${{" in labels else f"{labels!r}"
