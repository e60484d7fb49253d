"""Workflows that GitHub no longer starts on their schedule: after sixty days without a commit it disables them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

from beampermit.errors import BeampermitError
from beampermit.github.client import Answer, Client, parse_answer
from beampermit.github.context import api_of, client_of, find_token
from beampermit.inventory.failures import failure, guarded
from beampermit.inventory.listing import Place
from beampermit.verdicts.inventory import Finding

AT_ONCE = 8
QUIET = "disabled_inactivity"
"""What GitHub says of them; who disables one by hand means it."""


class Workflow(Answer):
    """A workflow of a repository, as GitHub has it."""

    path: str
    state: str

    @property
    def file(self) -> str:
        return self.path.rpartition("/")[2]


def clients_of(places: Sequence[Place]) -> dict[Place, Client]:
    """Those on a known GitHub: github.com, `GH_HOST`, or the server of this job; none without a token.

    A job's `GITHUB_API_URL` and token are those of its own server: nothing elsewhere is looked for there, or asked.
    """
    if not find_token():
        return {}
    host = urlsplit(os.environ.get("GITHUB_SERVER_URL", "")).hostname or os.environ.get("GH_HOST", "github.com")
    known = {**os.environ, "GH_HOST": host, "GITHUB_API_URL": ""}
    found = ((one, f"https://{host}/{one.github}" if one.github else one.repository.address) for one in places)
    clients = {place: client for place, address in found if (client := client_of(address, known))}
    api, own = os.environ.get("GITHUB_API_URL", "").rstrip("/"), api_of(host.lower())
    if not api:
        return clients
    return {place: replace(client, api=api) for place, client in clients.items() if client.api == own}


def ask_schedules(clients: Mapping[Place, Client]) -> list[Finding]:
    """What is disabled, and of which repositories nobody knows."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda client: guarded(lambda: _disabled(client)), clients.values())
        asked = list(zip(clients.items(), answers, strict=True))
    findings = list[Finding]()
    for (place, client), answer in asked:
        name = place.repository.name
        if isinstance(answer, BeampermitError):
            findings.append(failure(name, answer, "; whether its schedules run is not known"))
            continue
        findings += [_finding(name, client.repository, workflow) for workflow in answer]
    return findings


def _disabled(client: Client) -> list[Workflow]:
    workflows = (parse_answer(Workflow, row) for row in client.pages("/actions/workflows", "workflows"))
    return [workflow for workflow in workflows if workflow.state == QUIET]


def _finding(project: str, repository: str, workflow: Workflow) -> Finding:
    return Finding(
        id="INV009",
        level="MINOR",
        project=project,
        message=f"GitHub has disabled {workflow.file}: the repository was quiet for sixty days",
        next=f"gh workflow enable {shlex.quote(workflow.file)} --repo {repository}",
    )
