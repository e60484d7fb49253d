"""Whether ledger and registry answer, and since when the ledger cannot be followed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime

from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.live.promoted.promotions import Promotions
from beampermit.live.promoted.registry_reach import RegistryReach
from beampermit.live.promoted.words import plain, time_of
from beampermit.registry.ledger import PATIENCE
from beampermit.registry.mlflow import VARIABLE

logger = logging.getLogger(__name__)
SOON = 5.0
"""Seconds to wait for the ledger while nothing is in service."""
BEGINS = 60.0
"""Seconds after the start for which this holds: a network may be slow, and is to be followed nevertheless."""


class Reach:
    """The ledger cannot be followed where it does not answer, was rewritten, or has a bad line."""

    def __init__(self, promotions: Promotions, clock: Callable[[], float]):
        self._promotions, self._clock = promotions, clock
        self._registry = RegistryReach(self._address, clock)
        self._began = clock()
        self._answered = False
        self._trouble: tuple[str, BeampermitError] | None = None
        """Since when the ledger cannot be followed, and why."""

    @property
    def error(self) -> BeampermitError | None:
        """Why it cannot be followed now."""
        return self._trouble[1] if self._trouble else None

    def look(self, *, serves: bool) -> None:
        """`serves`: whether something is in service; what was verified before is not to wait for a dead network."""
        self._registry.look()
        begins = not serves and not self._answered and self._clock() - self._began < BEGINS
        try:
            self._promotions.look(SOON if begins else PATIENCE)
        except BeampermitError as error:
            if self._trouble is None or type(error) is not type(self._trouble[1]):
                logger.warning("%s", plain(error), extra={"hint": plain(error.hint)})
                self._trouble = time_of(datetime.now(UTC)), error
            return
        if self._trouble:
            logger.info("the ledger answers again")
        self._trouble, self._answered = None, True

    def settle(self, timeout: float) -> bool:
        """Wait until it is known whether the registry answers; whether that is another answer than before."""
        return self._registry.settle(timeout)

    def notes(self, shown: str, unread: BeampermitError | None) -> list[str]:
        """What is said of `shown`, such as `version 3`; `unread`: why the ledger as last fetched cannot be read."""
        ledger = self._of_ledger(shown)
        if unread and not ledger:
            ledger = f"the ledger cannot be read: {plain(unread)}; {shown} goes on"
        return [note for note in (ledger, self._registry.note(shown)) if note]

    def _address(self) -> str:
        return self._promotions.wanted.registry or os.environ.get(VARIABLE, "")

    def _of_ledger(self, shown: str) -> str:
        """Empty where it can be followed."""
        if self._trouble is None:
            return ""
        since, error = self._trouble
        seen = f"{shown} goes on" if self._answered else f"{shown} is served as it was last verified here"
        if isinstance(error, Outside):
            return f"the ledger has not answered since {since}; {seen}"
        if isinstance(error, BadInput):
            return f"the ledger cannot be read since {since}: {plain(error)}; {seen}"
        return f"since {since}: {plain(error.message)}; {seen}"
