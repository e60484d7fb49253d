"""Small repositories with workflows, rehearsed for real: act, bash, git."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import dedent, indent

import pytest

from beampermit.project import Project
from beampermit.rehearsal import Rehearsal
from support.git_repositories import add_origin
from support.rehearsals import HEAD

Write = Callable[..., Project]


@pytest.fixture
def repository(project: Project, git: Callable[..., str]) -> Write:
    """Make a project with an origin and a workflow of the given jobs; HEAD is one commit ahead of main."""

    def write(
        jobs: str, head: str = HEAD, file: str = "pull-request.yml", beside: Mapping[str, str] | None = None
    ) -> Project:
        path = project.root / ".github/workflows" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((head + indent(dedent(jobs).strip("\n"), "  ")).rstrip() + "\n")
        for name, text in (beside or {}).items():
            (path.parent / name).write_text(text)
        git("add", "--all")
        git("commit", "--quiet", "--message", "Workflows")
        add_origin(project.root)
        git("checkout", "--quiet", "-b", "topic")
        (project.root / "changed.txt").write_text("changed\n")
        git("add", "--all")
        git("commit", "--quiet", "--message", "A change")
        return project

    return write


@pytest.fixture
def results() -> Callable[[Rehearsal], dict[str, str]]:
    """Job name -> result."""
    return lambda found: {job.name: str(job.result) for job in found.jobs}
