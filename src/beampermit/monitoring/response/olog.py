"""Entries in Phoebus' Olog, by its REST service: `--logbook olog:https://olog.lab.example/Olog#Operations`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from beampermit.errors import BadInput, Outside
from beampermit.monitoring.response.logbook import SECONDS, Entry
from beampermit.reading import parse_json

LOGIN = "BEAMPERMIT_LOGBOOK_LOGIN"
"""`USER:PASSWORD`; the service asks for it where an entry is written."""
EXAMPLE = "--logbook olog:https://olog.lab.example/Olog#Operations"
LEVEL = "Info"
"""That every Olog has; the severity of an alarm stands in the title."""
MOST_BYTES = 4 * 2**20


class Olog:
    """`where` is the address of the service, `#`, and the names of logbooks that are there, with commas between."""

    def __init__(self, where: str, environment: Mapping[str, str] = os.environ) -> None:
        address, _, names = where.partition("#")
        self._address, self.logbooks = address.rstrip("/"), [name.strip() for name in names.split(",") if name.strip()]
        try:
            parts = urlsplit(address)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search("[?@]", address)
        except ValueError:
            sound = False
        if not sound or not self.logbooks:
            raise BadInput("--logbook olog: needs the address of the service and a logbook's name", hint=EXAMPLE)
        login = environment.get(LOGIN, "")
        if login and not re.fullmatch(r"[^\s:]+:[^\r\n]+", login):
            raise BadInput(f"{LOGIN} is not USER:PASSWORD", hint=f"export {LOGIN}=USER:PASSWORD")
        user, _, password = login.partition(":")
        self._login = (user, password) if login else None

    def write(self, entry: Entry) -> str:
        """Raises `Outside`."""
        mark = f"beampermit {entry.id}"
        found = self._ask("GET", params={"desc": entry.id, "logbooks": ",".join(self.logbooks)})
        number = next((one.get("id") for one in _entries(found) if mark in _text(one)), None)
        if number is None:
            made = self._ask("PUT", params={"markup": "commonmark"}, json=self._body(entry, mark))
            number = made.get("id") if isinstance(made, dict) else None
        return f"logbook {self._address}/logs/{number if isinstance(number, (int, str)) else ''}"

    def _body(self, entry: Entry, mark: str) -> dict[str, Any]:
        return {
            "owner": self._login[0] if self._login else "beampermit",
            "title": f"{entry.level} {' '.join(entry.title.split())}",
            "description": f"{entry.text.strip()}\n\n{mark}",
            "level": LEVEL,
            "logbooks": [{"name": name} for name in self.logbooks],
        }

    def _ask(self, method: str, **request: Any) -> object:
        import httpx

        login = self._login if method == "PUT" else None
        try:
            with (
                httpx.Client(timeout=SECONDS, auth=login) as client,
                client.stream(method, f"{self._address}/logs", **request) as answer,
            ):
                content = b"".join(_limited(answer.iter_bytes()))
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise Outside(f"the logbook cannot be reached: {type(error).__name__}") from None
        if answer.status_code in (401, 403):
            raise Outside(f"the logbook refuses the login ({answer.status_code})", hint=f"export {LOGIN}=USER:PASSWORD")
        if answer.status_code != 200:
            raise Outside(f"the logbook answers {method} with {answer.status_code}")
        try:
            return parse_json(content, "the logbook's answer")
        except BadInput as error:
            raise Outside(error.message) from None


def _limited(parts: Iterator[bytes]) -> Iterator[bytes]:
    read = 0
    for part in parts:
        read += len(part)
        if read > MOST_BYTES:
            raise Outside(f"the logbook answers with more than {MOST_BYTES // 2**20} MiB")
        yield part


def _entries(found: object) -> Iterator[dict[str, Any]]:
    """Of what a search gave: a list, or an object that has one."""
    listed = found.get("logs") if isinstance(found, dict) else found
    if not isinstance(listed, list):
        raise Outside("the logbook answers a search with no list of entries")
    yield from (one for one in listed if isinstance(one, dict))


def _text(entry: Mapping[str, Any]) -> str:
    return f"{entry.get('source', '')}\n{entry.get('description', '')}"
