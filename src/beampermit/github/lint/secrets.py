"""Secrets in jobs that pull requests start: each step gets what it needs, and no other step sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beampermit.github.lint.reach import Defect, Reached, forks_start
from beampermit.github.workflow import Workflow

_SECRET = re.compile(r"\$\{\{.*?\bsecrets\s*(\.\s*(?!GITHUB_TOKEN\b)|\[)", re.DOTALL | re.IGNORECASE)


def rule(entry: Workflow, jobs: Sequence[Reached]) -> Iterator[Defect]:
    """No secret is inherited; in what pull requests start, none stands where code of a pull request can read it."""
    for reached in jobs:
        if reached.job.secrets == "inherit":
            line = reached.job.lines["secrets"]
            words = "hands on every secret of the repository; name under `secrets:` those that are needed"
            yield reached.defect("inherited-secrets", words, line)
        if forks_start(entry):
            yield from _exposed(reached)


def _exposed(reached: Reached) -> Iterator[Defect]:
    words = "shows {} to each of its steps, code of the pull request among them; move it to the `env:` of the step"
    for env, line in (
        (reached.workflow.env, reached.workflow.lines.get("env")),
        (reached.job.env, reached.job.lines.get("env")),
    ):
        named = _secrets(env)
        if named:
            yield reached.defect("exposed-secrets", words.format(", ".join(named)), line)


def _secrets(env: Mapping[str, Any]) -> list[str]:
    return [name for name, value in env.items() if _SECRET.search(str(value))]
