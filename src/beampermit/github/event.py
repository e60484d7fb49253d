"""Event payloads as GitHub sends them, as far as workflows read them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput
from beampermit.github.client import Client, Run, parse_answer
from beampermit.reading import read_json

NOTHING = 40 * "0"
"""What GitHub sends for a commit that is not there: a branch that is new has no `before`."""


def pull_request_head(environment: Mapping[str, str] = os.environ) -> str | None:
    """The head commit of the pull request that this run is for, which is not what it checked out; None elsewhere."""
    if environment.get("GITHUB_EVENT_NAME") not in ("pull_request", "pull_request_target"):
        return None
    try:
        found = read_json(Path(environment.get("GITHUB_EVENT_PATH", "")))["pull_request"]["head"]["sha"]
    except (BadInput, KeyError, TypeError):
        return None
    return found if isinstance(found, str) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", found) else None


def pull_request(
    repository: str, *, number: int, base: str, base_branch: str, head: str, head_branch: str
) -> dict[str, Any]:
    """The payload of a pull request of this repository's own branch; `base` and `head` are commits."""
    return {
        "action": "synchronize",
        "number": number,
        "pull_request": {
            "number": number,
            "state": "open",
            "draft": False,
            "title": f"Rehearsal of {head_branch}",
            "user": {"login": "rehearsal"},
            "head": {"sha": head, "ref": head_branch, "repo": {**_repository(repository), "fork": False}},
            "base": {"sha": base, "ref": base_branch, "repo": {**_repository(repository), "fork": False}},
        },
        "repository": _repository(repository, base_branch),
        "sender": {"login": "rehearsal"},
    }


def push(repository: str, *, branch: str, before: str | None, after: str) -> dict[str, Any]:
    """The payload of a push of commit `after` to `branch`; `before` is None where the branch is new."""
    return {
        "ref": f"refs/heads/{branch}",
        "before": before or NOTHING,
        "after": after,
        "created": before is None,
        "deleted": False,
        "forced": False,
        "repository": _repository(repository, branch),
        "sender": {"login": "rehearsal"},
    }


def dispatch(repository: str, *, branch: str, inputs: Mapping[str, str]) -> dict[str, Any]:
    """The payload of a workflow that a person started on `branch`, with what was filled in."""
    return {
        "ref": f"refs/heads/{branch}",
        "inputs": dict(inputs),
        "repository": _repository(repository, branch),
        "sender": {"login": "rehearsal"},
    }


def _repository(full_name: str, default_branch: str = "main") -> dict[str, Any]:
    owner, name = full_name.split("/")
    return {
        "full_name": full_name,
        "name": name,
        "owner": {"login": owner},
        "default_branch": default_branch,
        "fork": False,
    }


def load_run(client: Client, number: int, environment: Mapping[str, str] = os.environ) -> Run:
    """Run `number`; of the event that started this job where that is it, without asking. Raises `Outside`."""
    if environment.get("GITHUB_EVENT_NAME") == "workflow_run":
        told = _payload(environment).get("workflow_run")
        if isinstance(told, Mapping) and told.get("id") == number:
            return parse_answer(Run, told)
    return parse_answer(Run, client.get(f"/actions/runs/{number}"))


def pull_request_number(environment: Mapping[str, str] = os.environ) -> int | None:
    """The pull request that this job runs for; None elsewhere."""
    found = _payload(environment).get("number")
    wanted = environment.get("GITHUB_EVENT_NAME") == "pull_request"
    return found if wanted and isinstance(found, int) else None


def _payload(environment: Mapping[str, str]) -> Mapping[str, object]:
    try:
        found = read_json(Path(environment.get("GITHUB_EVENT_PATH", "")))
    except BadInput:
        return {}
    return found if isinstance(found, Mapping) else {}
