"""A connection that sends no whole request is closed: uvicorn itself would wait for as long as the client likes.

Where too many are open nevertheless, whoever asks for health is answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 10.0
"""Seconds that the first line and the headers of a request may take, and what still comes after an answer."""

HEALTH = ("/healthz", "/readyz")
"""A service that is well must not be started again, or left out, because others hold connections."""


class PatientProtocol(H11Protocol):
    """Between requests, uvicorn's own limit for idle connections holds."""

    _limit: asyncio.TimerHandle | None = None

    @property
    def limit_concurrency(self) -> int | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """For the request that is being read."""
        return None if self.scope["path"] in HEALTH else self.config.limit_concurrency

    @limit_concurrency.setter
    def limit_concurrency(self, _: int | None) -> None:
        """uvicorn sets it to that of the configuration."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        """Time runs from the first byte on; each further one gives no more."""
        if self.conn.their_state is not h11.IDLE and self.conn.our_state is not h11.DONE:
            self._forget()
        elif self._limit is None:
            self._limit = self.loop.call_later(PATIENCE, self.transport.close)

    def _forget(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
