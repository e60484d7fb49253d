"""One answer of GitHub's, good or bad: what it holds, why it refuses, and how long it wants us to wait."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from beampermit.errors import BadInput, Outside
from beampermit.reading import parse_json

LONGEST = 60.0
"""Seconds: who asks us to wait longer than this is not waited for."""


@dataclass(frozen=True)
class Reply:
    """An answer of GitHub's to `method` of an address: what httpx has of it, and its bytes."""

    method: str
    address: str
    found: Any
    content: bytes

    @property
    def status(self) -> int:
        """HTTP's."""
        return self.found.status_code

    @property
    def links(self) -> Mapping[str, Mapping[str, str]]:
        """The addresses that it leads on to, such as `next`."""
        return self.found.links

    def json(self) -> Any:
        """The answer as JSON. Raises `Outside` for anything else."""
        try:
            return parse_json(self.content, "answer")
        except BadInput as error:
            raise Outside(f"GitHub's answer to {self.method} {path_of(self.address)} is {error.message}") from None

    @property
    def why(self) -> str:
        """A line about a refusal, with GitHub's own words where it has some."""
        try:
            body = self.json()
        except Outside:
            body = None
        said = body.get("message", "") if isinstance(body, Mapping) else ""
        words = "".join(character if character.isprintable() else " " for character in str(said))
        return (
            f"GitHub answers {self.method} {path_of(self.address)} with {self.status} {' '.join(words.split())[:200]}"
        )

    @property
    def wait(self) -> float | None:
        """Seconds to rest before asking again, where a limit is what refused; None where it is not."""
        headers = self.found.headers
        if self.status not in (403, 429):
            return None
        after = headers.get("retry-after", "")
        if after.isdecimal():
            return float(after)
        reset = headers.get("x-ratelimit-reset", "")
        if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
            return max(0.0, float(reset) - time.time()) + 1
        return LONGEST if self.status == 429 or b"secondary rate limit" in self.content else None


def path_of(address: str) -> str:
    """What an error shows of an address: no host, and nothing that was asked."""
    return urlsplit(address).path
