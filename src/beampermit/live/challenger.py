"""Follows the version with the alias `challenger`: it runs beside the champion, for as long as it has the alias."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from beampermit.errors import BeampermitError
from beampermit.live.loop import Standing
from beampermit.live.promoted.promoted import Declared
from beampermit.live.promoted.promotions import Promotions
from beampermit.live.promoted.words import plain

logger = logging.getLogger(__name__)
EVERY = 60.0
"""Seconds between two looks: the registry is asked, which takes a process of its own."""
PATIENCE = 10.0


class FollowChallenger:
    """`run` is called with each version that gets the alias."""

    def __init__(self, promotions: Promotions, run: Callable[[Declared, Standing], None]):
        self._promotions, self._run_beside = promotions, run
        self._version = 0
        self._problem = ""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow the challenger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(PATIENCE)

    def look(self) -> None:
        """Look once; what is wrong is said once."""
        try:
            declared = self._promotions.challenger()
            if declared.version == self._version:
                return
            promoted = self._promotions.prepare(declared)
        except BeampermitError as error:
            if str(error) != self._problem:
                logger.warning("no challenger runs: %s", plain(error), extra={"hint": plain(error.hint)})
            self._problem = str(error)
            return
        self._version, self._problem = promoted.version, ""
        self._run_beside(promoted, Standing(promoted.version, promoted.statement.digest))

    def _run(self) -> None:
        while not self._closed.is_set():
            self.look()
            self._closed.wait(EVERY)
