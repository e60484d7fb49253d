"""Every rule over every workflow and action of a repository, and over the workflows that those call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from beampermit.github.lint import caches, checkouts, forks, scripts, secrets
from beampermit.github.lint.reach import Defect, Walk
from beampermit.github.workflow import FOLDER, Step, Workflow, read_action, read_workflow

RULES = (forks.rule, secrets.rule, checkouts.rule, caches.rule)


@dataclass(frozen=True)
class Linted:
    """What was found, and which called workflows are not at hand and so were not looked into."""

    defects: tuple[Defect, ...]
    elsewhere: tuple[str, ...]


def lint(texts: Mapping[str, str], own: Mapping[str, str] | None = None) -> Linted:
    """Judge the workflows and actions in `texts` (path -> text). `own` are the reusable workflows of this Beampermit.

    Raises `BadInput` with file and line for a file that cannot be read.
    """
    workflows = {file: read_workflow(text, file) for file, text in texts.items() if file.startswith(f"{FOLDER}/")}
    actions = {file: read_action(text, file) for file, text in texts.items() if file not in workflows}
    walk = Walk(workflows, {file: read_workflow(text, file) for file, text in (own or {}).items()})
    found = set(_everywhere(workflows, actions))
    for entry in workflows.values():
        jobs = walk.jobs(entry)
        found.update(defect for rule in RULES for defect in rule(entry, jobs))
    return Linted(tuple(sorted(found)), tuple(sorted(walk.elsewhere)))


def _everywhere(workflows: Mapping[str, Workflow], actions: Mapping[str, tuple[Step, ...]]) -> Iterator[Defect]:
    for file, workflow in workflows.items():
        yield from forks.file_rule(workflow)
        for job in workflow.jobs.values():
            yield from scripts.rule(file, job.steps)
    for file, steps in actions.items():
        yield from scripts.rule(file, steps)
