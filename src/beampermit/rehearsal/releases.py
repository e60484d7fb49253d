"""The releases of a rehearsal: what a workflow would publish on GitHub lies in a folder afterwards."""

from __future__ import annotations

import json
import re
from itertools import count
from pathlib import Path
from typing import Any

from beampermit.files import write_bytes

NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)
REFUSED = (422, {"message": "Validation Failed"})
Said = tuple[int, Any]
"""HTTP's status, and what is said as JSON."""


class Releases:
    """Drafts and releases, as GitHub's API shows them; a file `NAME` of the release of `TAG` goes to `TAG/NAME`."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._made: dict[int, dict[str, Any]] = {}
        self._ids = count(1)

    def answer(self, method: str, path: str, query: dict[str, str], content: bytes, api: str) -> Said | None:
        """What is said to a request below `/repos/OWNER/NAME`, `api` included; None for what is not ours."""
        words = path.strip("/").split("/")[3:]
        match method, words:
            case "GET", ["commits", "tags", _]:
                return 422, {"message": "No commit found"}  # nothing was released before a rehearsal
            case "GET", ["releases"]:
                return 200, list(self._made.values())
            case "POST", ["releases"]:
                return self._draft(_object(content), f"{api}{path}")
            case "GET" | "PATCH", ["releases", id] if id.isdecimal() and int(id) in self._made:
                found = self._made[int(id)]
                if method == "PATCH":
                    found["draft"] = bool(_object(content).get("draft", found["draft"]))
                return 200, found
            case "POST", ["releases", id, "assets"] if id.isdecimal() and int(id) in self._made:
                return self._keep(self._made[int(id)], query.get("name", ""), content)
        return None

    def _draft(self, asked: dict[str, Any], address: str) -> Said:
        tag = asked.get("tag_name")
        if not isinstance(tag, str) or not NAME.fullmatch(tag):
            return REFUSED
        id = next(self._ids)
        self._made[id] = {
            "id": id,
            "tag_name": tag,
            "draft": bool(asked.get("draft")),
            "html_url": str(self._folder / tag),
            "upload_url": f"{address}/{id}/assets{{?name,label}}",
            "assets": [],
        }
        write_bytes(self._folder / tag / ".release.md", str(asked.get("body", "")).encode())
        return 201, self._made[id]

    def _keep(self, release: dict[str, Any], name: str, content: bytes) -> Said:
        if not NAME.fullmatch(name) or any(asset["name"] == name for asset in release["assets"]):
            return REFUSED
        write_bytes(self._folder / release["tag_name"] / name, content)
        asset = {"id": next(self._ids), "name": name, "size": len(content), "state": "uploaded"}
        release["assets"].append(asset)
        return 201, asset


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
