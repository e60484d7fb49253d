"""What a trip asks people for: a pull request with other limits, or a retraining, whose pull request comes later.

Neither changes anything that is in service: people and interlocks judge both. At most one is open at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beampermit.digest import digest_json
from beampermit.errors import Outside
from beampermit.github.client import Answer, Client, Limited, Pull, Refused, Unsure, parse_answer
from beampermit.github.pull_requests import open_pull_request
from beampermit.verdicts.monitoring import Trip

LIMITS, RETRAIN = "beampermit/limits", "beampermit/retrain"
"""How the names of their branches begin; a retraining's has no more."""
WORKFLOW = "retrain.yml"
RECENT = 50
"""Runs of the workflow in which that of a trip is looked for."""


class Suppressed(Exception):
    """No proposal is made; the message says why."""


class _Proposed(Pull):
    html_url: str


class _Run(Answer):
    display_title: str = ""
    status: str | None = None
    html_url: str


@dataclass(frozen=True)
class NewLimits:
    """Files of the repository and their new text: limits alone. `reason` says how they were found."""

    files: Mapping[str, str]
    reason: str


def tag_of(trip: Trip) -> str:
    """Names the branch or the run of an alarm, so that it is found again."""
    return digest_json(["proposal", trip.name]).removeprefix("sha256:")[:12]


def propose_limits(client: Client, new: NewLimits, *, title: str, body: str, tag: str) -> str:
    """A pull request whose only commit changes the files of `new`; its address.

    Raises `Suppressed` where a proposal is open or nothing would change, `Outside`.
    """
    branch = f"{LIMITS}-{tag}"
    refuse_second(client, tag)
    base = _default_branch(client)
    if not _has_branch(client, branch):
        _make_branch(client, branch, base, new.files, title)
    return open_pull_request(client, branch=branch, base=base, title=title, body=body)


def limits_proposed(client: Client, tag: str) -> str:
    """The address of the pull request of this tag, whatever became of it; empty where none was opened."""
    branch = f"{LIMITS}-{tag}"
    rows = client.pages("/pulls", state="all", head=f"{client.repository.split('/')[0]}:{branch}")
    pulls = (parse_answer(_Proposed, row) for row in rows)
    return next((pull.html_url for pull in pulls if pull.head.ref == branch), "")


def retraining_started(client: Client, tag: str) -> str:
    """The address of the run of this tag; empty where none is listed."""
    return next((run.html_url for run in _runs(client) if tag in run.display_title), "")


def start_retraining(client: Client, *, reason: str, tag: str) -> str:
    """Start the workflow `retrain.yml`; the address of its run, or of the workflow where the run is not listed yet.

    Raises `Suppressed` where a retraining runs or a proposal is open; `Unsure` where it may have been started, and
    `Outside`.
    """
    runs = _runs(client)
    mine = next((run for run in runs if tag in run.display_title), None)
    if mine:
        return mine.html_url
    if running := next((run for run in runs if run.status != "completed"), None):
        raise Suppressed(f"a retraining runs already: {running.html_url}")
    refuse_second(client, tag)
    inputs = {"reason": reason[:500], "alarm": tag}
    client.order(f"/actions/workflows/{WORKFLOW}/dispatches", {"ref": _default_branch(client), "inputs": inputs})
    return f"the workflow {WORKFLOW}, run {tag}"


def refuse_second(client: Client, tag: str) -> None:
    """Raises `Suppressed` where another proposal than the limits of this tag is open, `Outside`."""
    for row in client.pages("/pulls", state="open"):
        pull = parse_answer(_Proposed, row)
        ours = pull.head.repo is not None and pull.head.repo.full_name == client.repository
        if ours and pull.head.ref.startswith((LIMITS, RETRAIN)) and pull.head.ref != f"{LIMITS}-{tag}":
            raise Suppressed(f"a proposal is open already: {pull.html_url}")


def _runs(client: Client) -> list[_Run]:
    query = {"event": "workflow_dispatch", "per_page": RECENT}
    answer = client.get(f"/actions/workflows/{WORKFLOW}/runs", **query)
    rows = answer.get("workflow_runs") if isinstance(answer, Mapping) else None
    if not isinstance(rows, list):
        raise Outside("GitHub's answer about runs has an unknown format")
    return [parse_answer(_Run, row) for row in rows]


def _default_branch(client: Client) -> str:
    answer = client.get("")
    name = answer.get("default_branch") if isinstance(answer, Mapping) else None
    if not isinstance(name, str) or not name:
        raise Outside("GitHub's answer about the repository has no default_branch")
    return name


def _has_branch(client: Client, branch: str) -> bool:
    try:
        client.get(f"/branches/{branch}")
    except Refused as refused:
        if refused.status == 404:
            return False
        raise
    return True


def _make_branch(client: Client, branch: str, base: str, files: Mapping[str, str], title: str) -> None:
    """One commit on top of `base`; the branch is there whole, or not at all."""
    head = _sha(client.get(f"/branches/{base}"), "commit")
    tree = _sha(client.get(f"/git/commits/{head}"), "tree")
    entries = [{"path": path, "mode": "100644", "type": "blob", "content": text} for path, text in files.items()]
    changed = _sha(client.post("/git/trees", {"base_tree": tree, "tree": entries}))
    if changed == tree:
        raise Suppressed("the limits that recorded data give are those that are set")
    commit = _sha(client.post("/git/commits", {"message": title, "tree": changed, "parents": [head]}))
    try:
        client.post("/git/refs", {"ref": f"refs/heads/{branch}", "sha": commit})
    except Limited:
        raise  # nothing was done, and it says how long to wait
    except (Refused, Unsure) as error:
        if not _has_branch(client, branch):
            raise _plain(error) from None


def _sha(answer: Any, key: str = "") -> str:
    part = answer.get(key) if key and isinstance(answer, Mapping) else answer
    sha = part.get("sha") if isinstance(part, Mapping) else None
    if not isinstance(sha, str):
        raise Outside("GitHub's answer has no sha")
    return sha


def _plain(error: Outside) -> Outside:
    said = f"the branch with the new limits was not made: {error.message}"
    return Outside(said, hint=error.hint).after(error.seconds)
