"""Pull requests: the one that a run is about, and those that we open."""

from __future__ import annotations

from beampermit.errors import Outside
from beampermit.github.client import Client, Pull, Refused, Run, Unsure, parse_answer


def load_pull_request(client: Client, number: int) -> Pull:
    """Pull request `number`. Raises `Outside`."""
    return parse_answer(Pull, client.get(f"/pulls/{number}"))


def find_pull_requests(client: Client, run: Run) -> list[Pull]:
    """The open pull requests that are now at the head that `run` judged: from that repository, branch and commit.

    GitHub names the head of a run truly, whatever the code in it did; it names no pull request for forks.
    """
    if run.head_repository is None or run.head_branch is None:
        return []
    owner = run.head_repository.full_name.split("/")[0]
    found = (parse_answer(Pull, one) for one in client.pages("/pulls", state="open", head=f"{owner}:{run.head_branch}"))
    return [one for one in found if one.state == "open" and _is_head(one, run)]


def open_pull_request(client: Client, *, branch: str, base: str, title: str, body: str) -> str:
    """Ask that `branch` be merged into `base`, or bring the pull request that asks so up to date; give its address.

    Raises `Outside`.
    """
    asked = {"title": title, "body": body}
    try:
        made = client.post("/pulls", {**asked, "head": branch, "base": base})
    except (Refused, Unsure) as error:
        # 422: there is one already, or something else is wrong with what was asked.
        if isinstance(error, Refused) and error.status != 422:
            raise Outside(f"no pull request for {branch}: {error.message}", hint=error.hint) from None
        number = _there(client, branch, base)
        if number is None:
            raise Outside(f"no pull request for {branch}: {error.message}", hint=error.hint) from None
        made = client.patch(f"/pulls/{number}", asked)
    if not isinstance(made, dict) or not isinstance(made.get("html_url"), str):
        raise Outside(f"GitHub's answer about the pull request for {branch} names no address")
    return made["html_url"]


def _is_head(pull: Pull, run: Run) -> bool:
    return (pull.head.repo, pull.head.ref, pull.head.sha) == (run.head_repository, run.head_branch, run.head_sha)


def _there(client: Client, branch: str, base: str) -> int | None:
    """The number of the open pull request of this repository's branch."""
    owner = client.repository.split("/")[0]
    found = client.pages("/pulls", state="open", head=f"{owner}:{branch}", base=base)
    return next((parse_answer(Pull, one).number for one in found), None)
