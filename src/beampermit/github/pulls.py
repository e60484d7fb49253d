"""Opens a pull request, or brings the one that is open for the same branch up to date."""

from __future__ import annotations

from beampermit.errors import Outside
from beampermit.github.client import Client, Refused, Unsure


def propose(client: Client, *, branch: str, base: str, title: str, body: str) -> str:
    """Ask that `branch` be merged into `base`; give the pull request's address. Raises `Outside`."""
    asked = {"title": title, "body": body}
    try:
        made = client.post("/pulls", {**asked, "head": branch, "base": base})
    except (Refused, Unsure) as error:
        # 422: there is one already, or something else is wrong with what was asked.
        if isinstance(error, Refused) and error.status != 422:
            raise Outside(f"no pull request for {branch}: {error.message}", hint=error.hint) from None
        made = _there(client, branch, base)
        if made is None:
            raise Outside(f"no pull request for {branch}: {error.message}", hint=error.hint) from None
        made = client.patch(f"/pulls/{made}", asked)
    if not isinstance(made, dict) or not isinstance(made.get("html_url"), str):
        raise Outside(f"GitHub's answer about the pull request for {branch} names no address")
    return made["html_url"]


def _there(client: Client, branch: str, base: str) -> int | None:
    """The number of the open pull request of this repository's branch."""
    owner = client.repository.split("/")[0]
    for pull in client.pages("/pulls", state="open", head=f"{owner}:{branch}", base=base):
        if isinstance(pull, dict) and isinstance(pull.get("number"), int):
            return pull["number"]
    return None
