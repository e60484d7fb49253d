"""Event payloads as GitHub sends them to workflows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_COMMIT = 40 * "0"
"""What GitHub sends as `before` of a new branch."""


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
        "before": before or NO_COMMIT,
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
