"""Follows the version with the alias `challenger`: it runs beside the champion, for as long as it has the alias."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from beampermit.errors import BeampermitError, Outside
from beampermit.live.loop import Standing
from beampermit.live.promoted.promoted import Declared
from beampermit.live.promoted.promotions import Promotions
from beampermit.live.promoted.words import plain

logger = logging.getLogger(__name__)
EVERY = 600.0
"""Seconds between two looks: the registry is asked, by a process that imports MLflow for it."""
AGAIN = 60.0
"""The same where nothing was learnt: at the first start, the ledger may not be here yet."""
PATIENCE = 10.0


class FollowChallenger:
    """`begin` is called with each version that gets the alias, and `end` where none may run any more."""

    def __init__(self, promotions: Promotions, begin: Callable[[Declared, Standing], None], end: Callable[[], None]):
        self._promotions, self._begin, self._end = promotions, begin, end
        self._version = 0
        self._problem = ""
        self._wait = EVERY
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow the challenger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread.ident:
            self._thread.join(PATIENCE)

    def gave_up(self, version: int) -> None:
        """This version could not begin to run, or has ended: the next look begins it again. From any thread."""
        if version == self._version:
            self._version = 0

    def look(self) -> None:
        """Look once: whether there is another version, and whether the one that runs is still permitted."""
        try:
            self._wait = AGAIN
            declared = self._promotions.challenger()
            self._wait = EVERY
            if declared.version == self._version:
                return
            promoted = self._promotions.prepare(declared)
        except Outside as error:
            self._say(error)  # what runs goes on
        except BeampermitError as error:
            self._say(error)
            if self._version:
                self._version = 0
                self._end()
        else:
            self._version, self._problem = promoted.version, ""
            self._begin(promoted, Standing(promoted.version, promoted.statement.digest))

    def _say(self, error: BeampermitError) -> None:
        """Once."""
        if str(error) != self._problem:
            logger.warning("no other challenger runs: %s", plain(error), extra={"hint": plain(error.hint)})
        self._problem = str(error)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self.look()
            except Exception:
                logger.exception("the challenger could not be followed")
            self._closed.wait(self._wait)
