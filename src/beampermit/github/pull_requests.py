"""Pull requests: the one that a workflow run is about, and those that the command opens."""

from __future__ import annotations

from beampermit.errors import Outside
from beampermit.github.client import Client, Limited, Pull, Refused, Run, Unsure, parse_answer


def load_pull_request(client: Client, number: int) -> Pull:
    """Raises `Outside`."""
    return parse_answer(Pull, client.get(f"/pulls/{number}"))


def find_pull_requests(client: Client, run: Run) -> list[Pull]:
    """The open pull requests whose head is what `run` ran for: same repository, branch and commit.

    GitHub reports the head of a run correctly whatever its code did; for forks it does not name the pull request.
    """
    if run.head_repository is None or run.head_branch is None:
        return []
    owner = run.head_repository.full_name.split("/")[0]
    rows = client.pages("/pulls", state="open", head=f"{owner}:{run.head_branch}")
    head = (run.head_repository, run.head_branch, run.head_sha)
    return [
        pull
        for pull in (parse_answer(Pull, row) for row in rows)
        if pull.state == "open" and (pull.head.repo, pull.head.ref, pull.head.sha) == head
    ]


def open_pull_request(client: Client, *, branch: str, base: str, title: str, body: str) -> str:
    """Open a pull request from `branch` to `base`, or update title and body of the open one; its URL.

    Raises `Outside`.
    """
    texts = {"title": title, "body": body}
    try:
        answer = client.post("/pulls", {**texts, "head": branch, "base": base})
    except Limited as limited:  # nothing was done, and it says how long to wait
        said = f"no pull request was opened for {branch}: {limited.message}"
        raise Limited(said, limited.status, limited.seconds, limited.hint) from None
    except (Refused, Unsure) as error:
        # 422 may mean that there is one already.
        existing = not isinstance(error, Refused) or error.status == 422
        number = _find_number(client, branch, base) if existing else None
        if number is None:
            said = f"no pull request was opened for {branch}: {error.message}"
            raise Outside(said, hint=error.hint).after(error.seconds) from None
        answer = client.patch(f"/pulls/{number}", texts)
    if not isinstance(answer, dict) or not isinstance(answer.get("html_url"), str):
        raise Outside(f"GitHub's answer about the pull request for {branch} has no html_url")
    return answer["html_url"]


def _find_number(client: Client, branch: str, base: str) -> int | None:
    """The open pull request from this repository's `branch`."""
    owner = client.repository.split("/")[0]
    rows = client.pages("/pulls", state="open", head=f"{owner}:{branch}", base=base)
    return next((parse_answer(Pull, row).number for row in rows), None)
