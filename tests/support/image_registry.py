"""A registry of images on 127.0.0.1, read only: what it holds is put in by tests, as BuildKit would push it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from beampermit.containers.image import REVISION
from beampermit.digest import canonical_json, digest_bytes
from support.loopback import listening

OCI = "application/vnd.oci.image."
NAME = "lab/bpm-faults"
TOKEN = "t0ken"
SPDX = "https://spdx.dev/Document"
Said = tuple[int, bytes, dict[str, str]]


@dataclass
class Images:
    """`contents` is by digest or tag; `instead` answers a path otherwise; `account` is `user:password`, asked for."""

    contents: dict[str, bytes] = field(default_factory=dict)
    instead: dict[str, Callable[[], Said]] = field(default_factory=dict)
    account: str = ""
    realm: str = ""
    """Where a token is to be had; the registry itself where it is empty."""
    asked: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    """Each `Authorization` that was sent."""
    port: int = 0

    @property
    def repository(self) -> str:
        return f"127.0.0.1:{self.port}/{NAME}"

    def put(self, body: Any, *names: str) -> dict[str, Any]:
        """A descriptor of a new blob or manifest, which the registry also has under `names`."""
        content = body if isinstance(body, bytes) else canonical_json(body)
        digest = digest_bytes(content)
        for name in (digest, *names):
            self.contents[name] = content
        return {"digest": digest, "size": len(content)}

    def image(self, commit: str | None, *, architecture: str = "amd64") -> dict[str, Any]:
        """Push an image of a commit; gives its descriptor."""
        labels = {} if commit is None else {"Labels": {REVISION: commit}}
        config = self.put({"os": "linux", "architecture": architecture, "config": labels, "rootfs": {}})
        layer = {"digest": digest_bytes(b"layer"), "size": 5}
        return self.put(
            {"schemaVersion": 2, "mediaType": f"{OCI}manifest.v1+json", "config": config, "layers": [layer]}
        )

    def attestation(self, of: dict[str, Any], kind: str = SPDX) -> dict[str, Any]:
        """Push what BuildKit attests of an image; gives its entry of the index."""
        layer = {**self.put({"predicateType": kind}), "annotations": {"in-toto.io/predicate-type": kind}}
        config = self.put({"os": "unknown", "architecture": "unknown", "config": {}})
        told = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of["digest"]}
        return {**self.put({"schemaVersion": 2, "config": config, "layers": [layer]}), "annotations": told}

    def index(self, *entries: dict[str, Any], tag: str = "latest") -> str:
        """Push an index; gives the reference by digest."""
        body = {"schemaVersion": 2, "mediaType": f"{OCI}index.v1+json", "manifests": list(entries)}
        return f"{self.repository}@{self.put(body, tag)['digest']}"

    def push(self, commit: str, *architectures: str) -> str:
        """Push what the release builds of a commit, with a bill of materials; gives the reference by digest."""
        entries: list[dict[str, Any]] = []
        for architecture in architectures or ("amd64",):
            image = self.image(commit, architecture=architecture)
            entries += [image, self.attestation(image)]
        return self.index(*entries)

    def answer(self, path: str, query: dict[str, list[str]], authorization: str) -> Said:
        basic = f"Basic {base64.b64encode(self.account.encode()).decode()}"
        if path == "/token":
            allowed = authorization == basic and query.get("scope") == [f"repository:{NAME}:pull"]
            return (200, json.dumps({"token": TOKEN}).encode(), {}) if allowed else (401, b"{}", {})
        if path in self.instead:
            return self.instead[path]()
        if self.account and authorization != f"Bearer {TOKEN}":
            realm = self.realm or f"http://127.0.0.1:{self.port}/token"
            return 401, b"{}", {"WWW-Authenticate": f'Bearer realm="{realm}",service="images"'}
        content = self.contents.get(path.rpartition("/")[2]) if path.startswith(f"/v2/{NAME}/") else None
        return (404, b"{}", {}) if content is None else (200, content, {})

    def path_of(self, kind: str, digest: str) -> str:
        return f"/v2/{NAME}/{kind}/{digest}"


@pytest.fixture
def images() -> Iterator[Images]:
    found = Images()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts, authorization = urlsplit(self.path), self.headers.get("Authorization", "")
            found.asked.append(parts.path)
            found.seen.append(authorization)
            status, content, headers = found.answer(parts.path, parse_qs(parts.query), authorization)
            self.send_response(status)
            kind = json.loads(content).get("mediaType", "application/json") if content[:1] == b"{" else "text/plain"
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with listening(Handler) as port:
        found.port = port
        yield found
