"""The runners that workflows ask for: labels that are none of GitHub's own machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from beampermit.workflows.expansion import Library, StartedJob, expand, read_workflows
from beampermit.workflows.expressions import is_plain
from beampermit.workflows.lint.lint import inputs_at_start
from beampermit.workflows.lint.rules import HOSTED, is_only_called
from beampermit.workflows.work import limited_work


@dataclass(frozen=True)
class Asked:
    """A job's labels, which one runner must have all of, and a file whose jobs ask for them."""

    labels: tuple[str, ...]
    file: str

    def fits(self, labels: Iterable[str]) -> bool:
        """Whether a runner with these may take the job: GitHub reads labels in any case."""
        own = {label.lower() for label in labels}
        return all(label.lower() in own for label in self.labels)

    def __str__(self) -> str:
        return ", ".join(self.labels)


@dataclass(frozen=True)
class Runners:
    """`hosted` tells whether some job runs on GitHub's machines; `computed` are what no file tells."""

    asked: tuple[Asked, ...]
    computed: tuple[str, ...]
    hosted: bool


def find_runners(texts: Mapping[str, str], own: Mapping[str, str]) -> Runners:
    """Of all jobs that may run. `own` are Beampermit's reusable workflows. Raises `BadInput` with file and line."""
    workflows = read_workflows(texts)
    library = Library(workflows, own)
    asked, computed, hosted = dict[tuple[str, ...], Asked](), dict[str, None](), False
    with limited_work() as work:
        for entry in workflows.values():
            if is_only_called(entry):
                continue
            work.file = entry.file
            for job in expand(entry, library.find, inputs=inputs_at_start(entry)):
                if job.job.uses or not job.may_run():
                    continue
                for value in _values(job):
                    labels = _labels(value)
                    if labels is None:
                        computed[f"{entry.file}: {job.name}"] = None
                    elif len(labels) == 1 and HOSTED.fullmatch(labels[0]):
                        hosted = True
                    elif labels:
                        asked.setdefault(tuple(label.lower() for label in labels), Asked(labels, entry.file))
    return Runners(tuple(asked.values()), tuple(computed), hosted)


def _values(started: StartedJob) -> Iterator[Any]:
    runs_on = started.job.runs_on
    if isinstance(runs_on, Mapping):
        runs_on = runs_on.get("labels") if set(runs_on) == {"labels"} else None
    yield from started.values(runs_on)


def _labels(value: Any) -> tuple[str, ...] | None:
    """None where only a run tells, and for groups of runners."""
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, list | tuple) or not labels or not all(isinstance(each, str) for each in labels):
        return None
    known = all(is_plain(each) and "${{" not in each for each in labels)
    return tuple(labels) if known else None
