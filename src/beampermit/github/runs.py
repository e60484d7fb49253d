"""Runs of workflows, as GitHub names them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from beampermit.errors import BadInput
from beampermit.github.answers import Run, understood
from beampermit.github.client import Client
from beampermit.reading import read_json


def run(client: Client, number: int, environment: Mapping[str, str] = os.environ) -> Run:
    """Run `number`; of the event that started this job where that is it, without asking. Raises `Outside`."""
    if environment.get("GITHUB_EVENT_NAME") == "workflow_run":
        told = _payload(environment).get("workflow_run")
        if isinstance(told, Mapping) and told.get("id") == number:
            return understood(Run, told)
    return understood(Run, client.get(f"/actions/runs/{number}"))


def pull_number(environment: Mapping[str, str] = os.environ) -> int | None:
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
