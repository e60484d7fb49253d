"""What is checked out where: a stranger's code beside secrets, or a token left beside a stranger's code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from beampermit.github.lint.reach import PRIVILEGED, Defect, Reached, forks_start
from beampermit.github.workflow import Step, Workflow

_SAFE = re.compile(r"\$\{\{\s*(github\.(sha|ref|repository|event\.repository\.default_branch))\s*\}\}")
_FETCHED = re.compile(r"\bgh\s+pr\s+checkout\b|\brefs/pull/|\bpull/.*/(head|merge)\b")
_GIT = re.compile(r"\bgit\b.*\b(checkout|switch|fetch|pull|clone|worktree)\b")
_HEAD = re.compile(r"head_(sha|branch|ref|commit|repository)|pull_request\.head|workflow_run\.pull_requests")


def rule(entry: Workflow, jobs: Sequence[Reached]) -> Iterator[Defect]:
    """Jobs with secrets check out no pull request; jobs with a pull request keep no token."""
    privileged = sorted(PRIVILEGED & entry.events.keys())
    for reached in jobs:
        for step in reached.job.steps:
            if privileged and (why := _untrusted(step)):
                words = (
                    f"checks out {why} on {privileged[0]}, beside the repository's secrets; read an artifact instead"
                )
                yield reached.defect("untrusted-checkout", words, step.line())
            if (privileged or forks_start(entry)) and _keeps_token(step):
                words = "leaves its token in .git/config; give the checkout `persist-credentials: false`"
                yield reached.defect("kept-credentials", words, step.line("uses"))


def _untrusted(step: Step) -> str:
    """What of a pull request a step checks out; nothing where it does not."""
    if step.uses.startswith("actions/checkout@"):
        for key in ("ref", "repository"):
            value = str(step.given.get(key, ""))
            if "refs/pull/" in value or ("${{" in value and not _SAFE.fullmatch(value.strip())):
                return f"{key} {value}"
        return ""
    said = "\n".join([step.run, *map(str, step.env.values())])
    if _FETCHED.search(step.run) or (_GIT.search(step.run) and _HEAD.search(said)):
        return "the head of a pull request"
    return ""


def _keeps_token(step: Step) -> bool:
    kept = str(step.given.get("persist-credentials", "true")).lower()
    return step.uses.startswith("actions/checkout@") and kept != "false"
