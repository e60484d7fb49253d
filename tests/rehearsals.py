"""What tests of rehearsals say again and again."""

from __future__ import annotations

from pathlib import Path

from beampermit.project import Project
from beampermit.rehearsal import Rehearsal, rehearse

HEAD = "name: Pull request\non: pull_request\npermissions: {}\njobs:\n"
"""The beginning of a workflow file, up to its jobs."""


def run(project: Project, **options) -> Rehearsal:
    """Rehearse the pull request."""
    return rehearse(project, "pull-request", timeout=120, **options)


def log_of(found: Rehearsal, job: str) -> str:
    """The log of one job."""
    return Path(next(item.log for item in found.jobs if item.name == job) or "").read_text()
