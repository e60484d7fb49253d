"""Which repository, branch, run and pull request this is about: from a workflow job's environment, else from origin."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from beampermit.errors import BadInput, Failed
from beampermit.git import Git
from beampermit.github.client import API, Client, Run, parse_answer
from beampermit.reading import read_json

_REMOTE_URL = re.compile(
    r"(?:[a-z+]+://)?(?:[^@/]+@)?(?P<host>[\w.-]+)(?::\d+(?=/))?[:/](?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?", re.ASCII
)


def find_token(environment: Mapping[str, str] = os.environ) -> str:
    """The token for GitHub; empty where there is none, which is enough to read a public repository."""
    return environment.get("GITHUB_TOKEN") or environment.get("GH_TOKEN") or ""


def in_workflow(environment: Mapping[str, str] = os.environ) -> bool:
    return environment.get("GITHUB_ACTIONS") == "true"


def find_client(git: Git, repository: str = "", environment: Mapping[str, str] = os.environ) -> Client | None:
    """The client for `repository` (`OWNER/NAME`), else for the job's repository, else for origin's on GitHub.

    None where no GitHub is known. `GITHUB_API_URL` or `GH_HOST` names a GitHub other than github.com.
    """
    api = environment.get("GITHUB_API_URL", "").rstrip("/")
    name = repository or environment.get("GITHUB_REPOSITORY", "")
    if name:
        return Client(name, find_token(environment), api or api_of(environment.get("GH_HOST", "github.com")))
    return client_of(git.try_("remote", "get-url", "origin").out.strip(), environment)


def client_of(address: str, environment: Mapping[str, str] = os.environ) -> Client | None:
    """The client for the repository with this address; None where that is not on a known GitHub."""
    api = environment.get("GITHUB_API_URL", "").rstrip("/")
    remote = _REMOTE_URL.fullmatch(address)
    if remote is None:
        return None
    host = remote["host"].lower()
    is_github = host in ("github.com", environment.get("GH_HOST", "").lower()) or host.endswith(".ghe.com")
    return Client(remote["name"], find_token(environment), api or api_of(host)) if is_github or api else None


def require_client(git: Git, repository: str = "", environment: Mapping[str, str] = os.environ) -> Client:
    """As `find_client`. Raises `BadInput` where no GitHub is known."""
    client = find_client(git, repository, environment)
    if client is None:
        raise BadInput(
            "the remote origin is not on a known GitHub, so the repository is unknown",
            hint="give --repository OWNER/NAME; for a GitHub other than github.com also set GITHUB_API_URL",
        )
    return client


def organization_client(name: str, environment: Mapping[str, str] = os.environ) -> Client:
    """A client for paths of the organization; its repository `.github` need not exist. Raises `BadInput`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise BadInput(f"{name!r} is not the name of an organization", hint="give --organization NAME")
    host = environment.get("GH_HOST") or urlsplit(environment.get("GITHUB_SERVER_URL", "")).hostname or "github.com"
    api = environment.get("GITHUB_API_URL", "").rstrip("/") or api_of(host.lower())
    return Client(f"{name}/.github", find_token(environment), api)


def find_branch(git: Git, environment: Mapping[str, str] = os.environ) -> str:
    """The branch that changes go to: the pull request's base, else the pushed branch, else origin's default branch.

    Raises `Failed` in a workflow that does not run on a branch.
    """
    if base := environment.get("GITHUB_BASE_REF"):
        return base
    if not in_workflow(environment):
        return git.default_branch() or "main"
    queued = environment.get("GITHUB_EVENT_NAME") == "merge_group"
    ref = _merge_group_base(environment) if queued else environment.get("GITHUB_REF", "")
    if not ref.startswith("refs/heads/"):
        raise Failed(
            f"this job runs on {ref or 'no ref (GITHUB_REF is not set)'}, not on a branch; only a branch has rules",
            hint="run the workflow for a pull request or for a push to a branch",
        )
    return ref.removeprefix("refs/heads/")


def pull_request_head(environment: Mapping[str, str] = os.environ) -> str | None:
    """The head commit of the pull request that this job runs for, not the merge commit it checked out; else None."""
    if environment.get("GITHUB_EVENT_NAME") not in ("pull_request", "pull_request_target"):
        return None
    try:
        head = read_json(Path(environment.get("GITHUB_EVENT_PATH", "")))["pull_request"]["head"]["sha"]
    except (BadInput, KeyError, TypeError):
        return None
    return head if isinstance(head, str) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", head) else None


def pull_request_number(environment: Mapping[str, str] = os.environ) -> int | None:
    """The pull request that this job runs for; else None."""
    number = _payload(environment).get("number")
    return number if environment.get("GITHUB_EVENT_NAME") == "pull_request" and isinstance(number, int) else None


def load_run(client: Client, number: int, environment: Mapping[str, str] = os.environ) -> Run:
    """Workflow run `number`, without a request where the event that started this job describes it. Raises `Outside`."""
    if environment.get("GITHUB_EVENT_NAME") == "workflow_run":
        run = _payload(environment).get("workflow_run")
        if isinstance(run, Mapping) and run.get("id") == number:
            return parse_answer(Run, run)
    return parse_answer(Run, client.get(f"/actions/runs/{number}"))


def _payload(environment: Mapping[str, str]) -> Mapping[str, object]:
    try:
        payload = read_json(Path(environment.get("GITHUB_EVENT_PATH", "")))
    except BadInput:
        return {}
    return payload if isinstance(payload, Mapping) else {}


def _merge_group_base(environment: Mapping[str, str]) -> str:
    file = Path(environment.get("GITHUB_EVENT_PATH", ""))
    event: Any = read_json(file)
    try:
        return str(event["merge_group"]["base_ref"])
    except (KeyError, TypeError):
        raise BadInput("the event of the merge group has no merge_group.base_ref", file=file) from None


def api_of(host: str) -> str:
    """The address of a GitHub's API."""
    if host == "github.com":
        return API
    return f"https://api.{host}" if host.endswith(".ghe.com") else f"https://{host}/api/v3"
