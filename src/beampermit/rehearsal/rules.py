"""A GitHub on loopback: the rules that a branch would have, were the ruleset in git active; and releases, in a folder.

Whether it is active only GitHub can tell; but a ruleset that is too weak is seen before anybody applies it.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from beampermit.errors import BadInput
from beampermit.files import write_bytes
from beampermit.git import Git
from beampermit.github.rulesets import MAIN, Ruleset, parse_ruleset

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


ID = 1
LARGEST = 64 * 2**20
"""Bytes of one file that a rehearsal releases."""


def ruleset_of(git: Git, commit: str) -> Ruleset | None:
    """The ruleset in git at `commit`; None where there is none, or none that GitHub would take."""
    text = git.read(commit, MAIN)
    try:
        return None if text is None else parse_ruleset(text, MAIN)
    except BadInput:
        return None


@contextmanager
def standing_in(ruleset: Ruleset | None, default_branch: str, kept: Path | None = None) -> Iterator[str]:
    """Answer as GitHub's API would with `ruleset` applied, at the address that is given, until the block ends.

    What is released goes to the folder `kept`, if there is one.
    """
    releases = Releases(kept) if kept else None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            content = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), LARGEST))
            said = answer(asked.path, ruleset, default_branch) if self.command == "GET" else None
            found = (200, said) if said is not None else None
            if found is None and releases:
                query = dict(parse_qsl(asked.query))
                found = releases.answer(self.command, asked.path, query, content, f"http://{self.headers['Host']}")
            self._say(*(found or (404, {"message": "Not Found"})))

        do_POST = do_PATCH = do_GET  # noqa: N815 - the names that http.server looks for

        def _say(self, status: int, said: Any) -> None:
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the rehearsal has a log of its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def answer(path: str, ruleset: Ruleset | None, default_branch: str) -> Any:
    """What stands at a path of the API; None for what is not there."""
    _, _, owner, name, *rest = [*path.split("/"), "", "", "", ""]
    rest = [unquote(word) for word in rest if word]
    if rest[:2] == ["rules", "branches"] and len(rest) > 2:
        return _rules("/".join(rest[2:]), f"{owner}/{name}", ruleset, default_branch)
    if ruleset and rest == ["rulesets"]:
        return [{"id": ID, "name": ruleset.name, "enforcement": ruleset.enforcement}]
    if ruleset and rest == ["rulesets", str(ID)]:
        return {**ruleset.body, "id": ID}
    return None


def _rules(branch: str, repository: str, ruleset: Ruleset | None, default_branch: str) -> list[Any]:
    if ruleset is None or ruleset.enforcement != "active" or not ruleset.covers(branch, default_branch):
        return []
    told = {"ruleset_id": ID, "ruleset_source": repository, "ruleset_source_type": "Repository"}
    return [{**rule, **told} for rule in ruleset.body["rules"]]
