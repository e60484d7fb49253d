"""Opens a pull request, or brings the one that is open for the same branch up to date."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from beampermit.errors import BadInput, Outside

TIMEOUT = 30


@dataclass(frozen=True)
class Repository:
    """`OWNER/NAME` on the GitHub whose API is at `api`, reached with `token`."""

    name: str
    token: str = field(repr=False)
    api: str = "https://api.github.com"

    @classmethod
    def of_job(cls) -> Repository:
        """The repository of the workflow that runs this. Raises `BadInput` outside of one."""
        found = {name: os.environ.get(name, "") for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN")}
        for name, value in found.items():
            if not value:
                raise BadInput(f"{name} is not set: no pull request can be opened", hint="export it, or push yourself")
        return cls(*found.values(), api=os.environ.get("GITHUB_API_URL") or cls.api)

    def propose(self, *, branch: str, base: str, title: str, body: str) -> str:
        """Ask that `branch` be merged into `base`; give the pull request's address. Raises `Outside`."""
        asked = {"title": title, "body": body}
        code, reply = self._send("POST", "", json={**asked, "head": branch, "base": base})
        if code == 422:  # There is one already, or something else is wrong with what was asked.
            owner = self.name.split("/")[0]
            _, there = self._send("GET", "", params={"state": "open", "head": f"{owner}:{branch}", "base": base})
            if isinstance(there, list) and there:
                code, reply = self._send("PATCH", f"/{int(there[0]['number'])}", json=asked)
        if code >= 300 or not isinstance(reply, dict):
            said = reply.get("message", "") if isinstance(reply, dict) else ""
            raise Outside(f"GitHub opens no pull request for {branch}: {code} {' '.join(str(said).split())[:200]}")
        return str(reply["html_url"])

    def _send(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        import httpx

        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json"}
        try:
            reply = httpx.request(
                method, f"{self.api}/repos/{self.name}/pulls{path}", headers=headers, timeout=TIMEOUT, **more
            )
            return reply.status_code, reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Outside(f"GitHub cannot be reached at {self.api}: {error}") from None
