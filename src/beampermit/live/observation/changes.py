"""A line in the log when the status of the service changes, or its reason; numbers in a reason change all the time."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beampermit.live.update import State, Update

logger = logging.getLogger(__name__)
NUMBER = re.compile(r"\d+")
LEVELS: dict[State, int] = {"DEGRADED": logging.WARNING, "INVALID": logging.ERROR, "RETIRED": logging.WARNING}
"""Others are no trouble."""


class Changes:
    """A sink."""

    def __init__(self) -> None:
        self._before: tuple[str, str] | None = None

    def publish(self, update: Update) -> None:
        health = update.health
        now = (health.status, NUMBER.sub("#", health.reason))
        if now == self._before:
            return
        before, self._before = self._before, now
        fields = {
            "status": health.status,
            "before": before[0] if before else None,
            "reason": health.reason,
            "version": health.version,
        }
        level = LEVELS.get(health.status, logging.INFO)
        why = f": {health.reason}" if health.reason else ""
        # Of the same status there may be too many reasons; that another one began is never left out.
        another = before is None or before[0] != health.status
        logger.log(level, "%s%s", health.status, why, extra={"fields": fields, "always": another})

    def close(self) -> None:
        """There is nothing to close."""
