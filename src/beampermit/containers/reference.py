"""The name of an image: a registry, a repository there, and a digest or a tag."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from beampermit.errors import BadInput

HOST = r"(?:localhost|[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+)(?::[0-9]{1,5})?"
"""With a dot, or `localhost`: what has neither, Docker looks for in its own registry."""
PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
NAME = rf"{PART}(?:/{PART})*"
DIGEST = r"sha256:[0-9a-f]{64}"
FORM = re.compile(
    rf"(?P<host>{HOST})/(?P<name>{NAME})(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>{DIGEST}))?", re.ASCII
)
BY_DIGEST = rf"^{HOST}/{NAME}@{DIGEST}$"
"""As the ledger has it."""
LONGEST = 400
LOOPBACK = re.compile(r"(?:localhost|127\.[0-9]+\.[0-9]+\.[0-9]+)(?::[0-9]+)?")


@dataclass(frozen=True)
class Reference:
    """Such as `ghcr.io/lab/bpm-faults:5@sha256:...`; `tag` and `digest` are empty where they are not given."""

    host: str
    name: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """Such as `ghcr.io/lab/bpm-faults`."""
        return f"{self.host}/{self.name}"

    @property
    def wanted(self) -> str:
        """What the registry is asked for: the digest, if there is one, else the tag."""
        return self.digest or self.tag

    @property
    def is_local(self) -> bool:
        """Whether the registry is one of this machine, which is spoken to without TLS, as Docker does."""
        return LOOPBACK.fullmatch(self.host) is not None

    def at(self, digest: str) -> Reference:
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        return f"{self.repository}{self.tag and f':{self.tag}'}{self.digest and f'@{self.digest}'}"


def parse_reference(text: str) -> Reference:
    """Raises `BadInput` where it has no registry, or neither digest nor tag."""
    match = FORM.fullmatch(text) if len(text) <= LONGEST else None
    if match is None:
        raise BadInput(
            f"{text[:100]!r} is not the name of an image with its registry, such as "
            "ghcr.io/lab/bpm-faults@sha256:...; all in lower case"
        )
    found = Reference(match["host"], match["name"], match["tag"] or "", match["digest"] or "")
    if not found.wanted:
        raise BadInput(f"{text} has neither a digest nor a tag", hint=f"docker buildx imagetools inspect {text}")
    return found
