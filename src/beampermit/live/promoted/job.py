"""A version being prepared in a thread of its own, and when one that failed is tried again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from beampermit.errors import BeampermitError, Outside, from_os_error
from beampermit.live.promoted.promoted import Declared
from beampermit.registry.event import Event

logger = logging.getLogger(__name__)
FIRST, LONGEST = 15.0, 600.0
"""Seconds until the second try, and at most between two."""


class Job(threading.Thread):
    """`work` gives the version of `event`, verified or with its environment; `done` is called at the end."""

    def __init__(self, event: Event, work: Callable[[Event], Declared], done: Callable[[], None]):
        super().__init__(name=f"prepare version {event.version}", daemon=True)
        self.event = event
        self.result: Declared | None = None
        self.error: BeampermitError | None = None
        self._work, self._done = work, done

    def run(self) -> None:
        try:
            self.result = self._work(self.event)
        except Exception as error:
            self.error = as_error(error, self.name)
        finally:
            self._done()


def as_error(error: Exception, what: str) -> BeampermitError:
    """Whatever it is, the version in service goes on, and this one is tried again; `what` failed, for the log."""
    if isinstance(error, BeampermitError):
        return error
    logger.error("%s failed", what, exc_info=error)
    known = from_os_error(error) if isinstance(error, OSError) else None
    return known or Outside(f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class Failure:
    """Why a version cannot be served; `until` is when it is tried again, by the monotonic clock."""

    error: BeampermitError
    tries: int
    until: float

    @classmethod
    def after(cls, before: Failure | None, error: BeampermitError, now: float) -> Failure:
        tries = before.tries + 1 if before else 1
        return cls(error, tries, now + min(FIRST * 2 ** (tries - 1), LONGEST))
