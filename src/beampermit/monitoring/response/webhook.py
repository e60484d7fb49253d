"""Tells another program of an alarm: one JSON document, posted. A server that hangs holds nobody for long."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from beampermit.digest import digest_json
from beampermit.errors import BadInput, Outside
from beampermit.monitoring.response.journal import name_of
from beampermit.reading import seconds_to_wait
from beampermit.verdicts.monitoring import CHECKS, Trip

ADDRESS, HEADER = "BEAMPERMIT_WEBHOOK", "BEAMPERMIT_WEBHOOK_HEADER"
SECONDS = 10.0
"""For all of it, whatever the server does."""


@dataclass(frozen=True)
class Webhook:
    """`header` is a name and a secret; neither it nor the address is ever shown, for both may let others post."""

    address: str = field(repr=False)
    header: tuple[str, str] | None = field(default=None, repr=False)
    seconds: float = SECONDS

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Webhook | None:
        """That of `BEAMPERMIT_WEBHOOK`; None where it is not set. Raises `BadInput`."""
        address, header = environment.get(ADDRESS, ""), environment.get(HEADER, "")
        if not address:
            return None
        try:
            parts = urlsplit(address)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            sound = False
        if not sound:
            raise BadInput(f"{ADDRESS} is not an http or https URL", hint=f"export {ADDRESS}=https://...")
        if header and not re.fullmatch(r"[A-Za-z0-9-]+: ?[!-~]([ -~]*[!-~])?", header):
            raise BadInput(f"{HEADER} is not a header such as `Authorization: Bearer ...`", hint=f"export {HEADER}=...")
        name, _, value = header.partition(":")
        return cls(address, (name, value.strip()) if header else None)

    def send(self, trip: Trip, on: int = 1) -> None:
        """Raises `Outside`; the trip may have been received then, so `id` tells the receiver what it has."""
        done: list[Outside | None] = []
        body = body_of(trip, on)
        thread = threading.Thread(target=lambda: done.append(self._post(body)), name="webhook", daemon=True)
        thread.start()
        thread.join(self.seconds)
        if not done:
            raise Outside(f"the webhook did not answer within {self.seconds:g} s")
        if done[0]:
            raise done[0]

    def _post(self, body: Mapping[str, Any]) -> Outside | None:
        import httpx

        headers = {"Idempotency-Key": body["id"], "User-Agent": "beampermit"}
        if self.header:
            headers[self.header[0]] = self.header[1]
        try:
            # Without TLS there is nothing to verify, and to read all authorities takes longer than to post.
            tls = self.address.lower().startswith("https:")
            with (
                httpx.Client(timeout=self.seconds, verify=tls) as client,
                client.stream("POST", self.address, json=body, headers=headers) as response,
            ):
                status, said = response.status_code, response.headers  # its content is not read
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return Outside(f"the webhook cannot be reached: {type(error).__name__}")
        if 200 <= status < 300:
            return None
        asked = seconds_to_wait(said) if status in (429, 503) else None
        return Outside(f"the webhook answers with {status}").after(asked or 0.0)


def body_of(trip: Trip, on: int = 1) -> dict[str, Any]:
    """What is posted. `text` is what chat programs show; `on` alarms are on then."""
    standing, window = trip.standing, trip.window
    reading = standing.reading
    state = "cleared" if trip.cleared else standing.level
    of = f" of {reading.subject}" if reading.subject else ""
    return {
        "beampermit": 1,
        "id": digest_json(["webhook", name_of(trip)]).removeprefix("sha256:")[:32],
        "event": "cleared" if trip.cleared else "raised",
        "text": f"{trip.model} {state}: {CHECKS.get(reading.check, reading.check)}{of}"
        f" ({reading.value:.4g}{f' {reading.unit}' if reading.unit else ''}, limit {reading.limit:.4g})",
        "model": trip.model,
        "version": trip.version,
        "check": reading.check,
        "subject": reading.subject,
        "level": standing.level,
        "value": reading.value,
        "limit": reading.limit,
        "unit": reading.unit,
        "detail": reading.detail,
        "since": _iso(standing.since),
        "window": {"since": _iso(window.since), "until": _iso(window.until), "rows": window.rows},
        "alarms": on,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
