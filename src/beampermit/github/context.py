"""Whom to ask: the repository on GitHub that a work tree belongs to, with what token, and about which branch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, Failed
from beampermit.git import Git
from beampermit.github.client import API, Client
from beampermit.reading import read_json

_ADDRESS = re.compile(
    r"(?:[a-z+]+://)?(?:[^@/]+@)?(?P<host>[\w.-]+)(?::\d+(?=/))?[:/](?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?", re.ASCII
)


def find_token(environment: Mapping[str, str] = os.environ) -> str:
    """The token that GitHub is asked with; nothing where there is none, which is enough for a public repository."""
    return environment.get("GITHUB_TOKEN") or environment.get("GH_TOKEN") or ""


def in_workflow(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a workflow runs this."""
    return environment.get("GITHUB_ACTIONS") == "true"


def find_client(git: Git, repository: str = "", environment: Mapping[str, str] = os.environ) -> Client | None:
    """The client of `repository` (`OWNER/NAME`), else of the job's, else of origin's where that lies on a GitHub.

    None where no GitHub is known. Another GitHub than github.com is named by `GITHUB_API_URL`, or by `GH_HOST`.
    """
    api = environment.get("GITHUB_API_URL", "").rstrip("/")
    named = repository or environment.get("GITHUB_REPOSITORY", "")
    if named:
        return Client(named, find_token(environment), api or _api(environment.get("GH_HOST", "github.com")))
    found = _ADDRESS.fullmatch(git.try_("remote", "get-url", "origin").out.strip())
    if found is None:
        return None
    host = found["host"].lower()
    known = host in ("github.com", environment.get("GH_HOST", "").lower()) or host.endswith(".ghe.com")
    return Client(found["name"], find_token(environment), api or _api(host)) if known or api else None


def require_client(git: Git, repository: str = "", environment: Mapping[str, str] = os.environ) -> Client:
    """The same. Raises `BadInput` where no GitHub is known."""
    found = find_client(git, repository, environment)
    if found is None:
        raise BadInput(
            "origin does not lie on a GitHub that is known",
            hint="name it: --repository OWNER/NAME, and GITHUB_API_URL for another than github.com",
        )
    return found


def find_branch(git: Git, environment: Mapping[str, str] = os.environ) -> str:
    """The branch that changes go to: the pull request's base, else the one that was pushed, else origin's main one.

    Raises `Failed` in a workflow that runs on no branch.
    """
    if base := environment.get("GITHUB_BASE_REF"):
        return base
    if not in_workflow(environment):
        head = git.try_("symbolic-ref", "--short", "refs/remotes/origin/HEAD")
        return head.out.strip().removeprefix("origin/") if head.code == 0 else "main"
    queued = environment.get("GITHUB_EVENT_NAME") == "merge_group"
    ref = _queued(environment) if queued else environment.get("GITHUB_REF", "")
    if not ref.startswith("refs/heads/"):
        raise Failed(f"{ref or 'a job without GITHUB_REF'} is no branch, so nothing protects it")
    return ref.removeprefix("refs/heads/")


def _queued(environment: Mapping[str, str]) -> str:
    """The branch that a merge group is to be merged into."""
    file = Path(environment.get("GITHUB_EVENT_PATH", ""))
    event: Any = read_json(file)
    try:
        return str(event["merge_group"]["base_ref"])
    except (KeyError, TypeError):
        raise BadInput("this event of a merge group names no base_ref", file=file) from None


def _api(host: str) -> str:
    if host == "github.com":
        return API
    return f"https://api.{host}" if host.endswith(".ghe.com") else f"https://{host}/api/v3"
