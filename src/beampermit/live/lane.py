"""A version in service, or beside it: its sources, its model's process, and its loop in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from beampermit.live.loop import Loop
from beampermit.live.source import Source

logger = logging.getLogger(__name__)
PATIENCE = 10.0
"""Seconds that a loop has for its last cycle."""


class Lane:
    """`close_model` ends the model's process."""

    def __init__(self, name: str, loop: Loop, sources: Sequence[Source], close_model: Callable[[], None]):
        self.loop = loop
        self._sources, self._close_model = tuple(sources), close_model
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        for source in self._sources:
            source.start(self.loop.latest, self.loop.wiring, self.loop.trigger)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.loop.run(self._stop)
        except Exception:
            logger.exception("the loop of %s ended", self._thread.name)

    def stop(self, ended: Callable[[], object] = lambda: None) -> None:
        """End the loop after its cycle, then what it reads and asks. Not from the loop's own thread.

        `ended` is called as soon as there are no cycles any more.
        """
        self._stop.set()
        self.loop.trigger.fire()
        if self._thread.ident:
            self._thread.join(PATIENCE)
        ended()
        for source in self._sources:
            source.close()
        self._close_model()
