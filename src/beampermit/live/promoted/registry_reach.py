"""Whether the registry answers: the version in service needs nothing of it, and the next one does."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPException
from math import inf
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import HTTPSHandler, Request, build_opener

from beampermit.live.promoted.words import time_of
from beampermit.registry.mlflow import SQLITE

EVERY = 60.0
"""Seconds between two questions; while it does not answer, each look asks."""
PATIENCE = 10.0
"""Seconds that it has."""
NOBODY = (502, 503, 504)
"""What a proxy says where the server behind it does not answer."""


class RegistryReach:
    """`look` returns at once: a thread asks, and what it learns counts from the next look on."""

    def __init__(self, address: Callable[[], str], clock: Callable[[], float]):
        self._address, self._clock = address, clock
        self._asked = -inf
        self._question: _Question | None = None
        self._silent_since = ""

    def look(self) -> None:
        if self._question:
            if self._question.is_alive():
                return
            self._learn(self._question.answered)
            self._question = None
        if self._silent_since or self._clock() - self._asked >= EVERY:
            self._asked = self._clock()
            self._question = _Question(self._address())
            self._question.start()

    def settle(self, timeout: float) -> bool:
        """Wait until what was asked is known; whether it is something else than before."""
        if self._question is None:
            return False
        self._question.join(timeout)
        return self._question.answered == bool(self._silent_since)

    def note(self, shown: str) -> str:
        """What is said of `shown`, such as `version 3`; empty where the registry answers."""
        return (
            f"the registry has not answered since {self._silent_since}; {shown} goes on" if self._silent_since else ""
        )

    def _learn(self, answered: bool) -> None:
        if answered:
            self._silent_since = ""
        elif not self._silent_since:
            self._silent_since = time_of(datetime.now(UTC))


class _Question(threading.Thread):
    def __init__(self, address: str):
        super().__init__(name="ask the registry", daemon=True)
        self._address_asked, self.answered = address, True

    def run(self) -> None:
        self.answered = answers(self._address_asked)


def answers(address: str) -> bool:
    """Whether a registry is there; True as well of one that is named by no address of a server or file, and not asked.

    A server is asked without a login, and nothing that it says is believed: an error is an answer too.
    """
    if address.startswith(SQLITE):
        return Path(address.removeprefix(SQLITE)).is_file()
    if not address.startswith(("http://", "https://")):
        return True
    unverified = ssl._create_unverified_context()  # noqa: S323 - MLflow has its own settings of whom to trust
    try:
        parts = urlsplit(address)
        health = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/health", "", ""))
        build_opener(HTTPSHandler(context=unverified)).open(Request(health), timeout=PATIENCE).close()  # noqa: S310
    except HTTPError as error:
        return error.code not in NOBODY
    except (OSError, HTTPException):
        return False
    except ValueError:
        return True  # no address: said where a version is fetched
    return True
