"""A stand-in for GitHub's API on loopback: branch rules from the rulesets in git, and releases in a folder.

Only GitHub can tell whether the rulesets are active there, but one that is too weak is found before it is applied.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from beampermit.errors import BadInput
from beampermit.files import write_bytes
from beampermit.git import Git
from beampermit.github.rulesets import LEDGER, MAIN, Ruleset, parse_ruleset

NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)
REFUSED = (422, {"message": "Validation Failed"})
Response = tuple[int, Any]
"""HTTP status and JSON body."""


class Releases:
    """Drafts and releases as in GitHub's API; an asset `NAME` of the release of `TAG` goes to the file `TAG/NAME`."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._releases: dict[int, dict[str, Any]] = {}
        self._ids = count(1)

    def answer(self, method: str, path: str, query: dict[str, str], content: bytes, api: str) -> Response | None:
        """The response to a request below `/repos/OWNER/NAME`; None where the path is not about releases."""
        parts = path.strip("/").split("/")[3:]
        match method, parts:
            case "GET", ["commits", "tags", _]:
                return 422, {"message": "No commit found"}  # a rehearsal begins without releases
            case "GET", ["releases"]:
                return 200, list(self._releases.values())
            case "POST", ["releases"]:
                return self._draft(_object(content), f"{api}{path}")
            case "GET" | "PATCH", ["releases", id] if id.isdecimal() and int(id) in self._releases:
                release = self._releases[int(id)]
                if method == "PATCH":
                    release["draft"] = bool(_object(content).get("draft", release["draft"]))
                return 200, release
            case "POST", ["releases", id, "assets"] if id.isdecimal() and int(id) in self._releases:
                return self._add_asset(self._releases[int(id)], query.get("name", ""), content)
        return None

    def _draft(self, body: dict[str, Any], address: str) -> Response:
        tag = body.get("tag_name")
        if not isinstance(tag, str) or not NAME.fullmatch(tag):
            return REFUSED
        id = next(self._ids)
        self._releases[id] = {
            "id": id,
            "tag_name": tag,
            "draft": bool(body.get("draft")),
            "html_url": str(self._folder / tag),
            "upload_url": f"{address}/{id}/assets{{?name,label}}",
            "assets": [],
        }
        write_bytes(self._folder / tag / ".release.md", str(body.get("body", "")).encode())
        return 201, self._releases[id]

    def _add_asset(self, release: dict[str, Any], name: str, content: bytes) -> Response:
        if not NAME.fullmatch(name) or any(asset["name"] == name for asset in release["assets"]):
            return REFUSED
        write_bytes(self._folder / release["tag_name"] / name, content)
        asset = {"id": next(self._ids), "name": name, "size": len(content), "state": "uploaded"}
        release["assets"].append(asset)
        return 201, asset


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


LARGEST = 64 * 2**20
"""Limit of one asset, in bytes."""


def read_rulesets(git: Git, commit: str) -> list[Ruleset]:
    """The rulesets in git at `commit` that `protect apply` uploads, without those that GitHub would refuse."""
    rulesets: list[Ruleset] = []
    for file in (MAIN, LEDGER):
        text = git.read(commit, file)
        with suppress(BadInput):
            rulesets += [parse_ruleset(text, file)] if text is not None else []
    return rulesets


@contextmanager
def serve_github(rulesets: Sequence[Ruleset], default_branch: str, kept: Path | None = None) -> Iterator[str]:
    """Serve GitHub's API as if `rulesets` were applied, until the block ends; yields its address.

    Releases go to the folder `kept`, if there is one.
    """
    releases = Releases(kept) if kept else None

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            content = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), LARGEST))
            body = answer_rules(url.path, rulesets, default_branch) if self.command == "GET" else None
            response = (200, body) if body is not None else None
            if response is None and releases:
                query = dict(parse_qsl(url.query))
                response = releases.answer(self.command, url.path, query, content, f"http://{self.headers['Host']}")
            self._send(*(response or (404, {"message": "Not Found"})))

        do_POST = do_PATCH = do_GET  # noqa: N815 - the names that http.server looks for

        def _send(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: the rehearsal has a log of its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def answer_rules(path: str, rulesets: Sequence[Ruleset], default_branch: str) -> Any:
    """The body at a path of the API; None where there is none."""
    _, _, owner, name, *rest = [*path.split("/"), "", "", "", ""]
    rest = [unquote(part) for part in rest if part]
    if rest[:2] == ["rules", "branches"] and len(rest) > 2:
        return _rules("/".join(rest[2:]), f"{owner}/{name}", rulesets, default_branch)
    numbered = {str(id): ruleset for id, ruleset in enumerate(rulesets, 1)}
    if rulesets and rest == ["rulesets"]:
        return [{"id": int(id), "name": one.name, "enforcement": one.enforcement} for id, one in numbered.items()]
    if rest[:1] == ["rulesets"] and len(rest) == 2 and rest[1] in numbered:
        return {**numbered[rest[1]].body, "id": int(rest[1])}
    return None


def _rules(branch: str, repository: str, rulesets: Sequence[Ruleset], default_branch: str) -> list[Any]:
    return [
        {**rule, "ruleset_id": id, "ruleset_source": repository, "ruleset_source_type": "Repository"}
        for id, ruleset in enumerate(rulesets, 1)
        if ruleset.enforcement == "active" and ruleset.covers(branch, default_branch)
        for rule in ruleset.body["rules"]
    ]
