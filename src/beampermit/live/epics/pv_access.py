"""Subscriptions over PVA, with p4p."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from p4p import Value
from p4p.client.raw import Context, Disconnected, Subscription

from beampermit.live.epics.addresses import Protocol
from beampermit.live.epics.feed import Feed
from beampermit.live.epics.lasting import keep_state
from beampermit.live.epics.values import pva_sample

logger = logging.getLogger(__name__)
REQUEST = "field()record[queueSize=2]"
"""The newest update replaces one that was not read yet; two is the least that a server accepts."""
AGAIN = 5.0
"""Seconds after which a server that refused is asked again."""


class PvAccess:
    """`ask`, `leave`, `tend` and `close` are called by one thread; samples come from p4p's own."""

    protocol: Protocol = "pva"

    def __init__(self) -> None:
        self._context = Context("pva", useenv=True, nt=False)
        self._monitors: dict[Feed, _Monitor] = {}

    def ask(self, feed: Feed) -> None:
        if feed not in self._monitors:
            self._monitors[feed] = _Monitor(self._context, feed)

    def leave(self, feed: Feed) -> None:
        if monitor := self._monitors.pop(feed, None):
            monitor.close()
            self._context.disconnect(feed.name)

    def read(self, feed: Feed) -> None:
        """The value as it is now; one answer is waited for at a time."""
        if monitor := self._monitors.get(feed):
            monitor.get()

    def tend(self, feed: Feed) -> None:
        """Ask again where a server ended the subscription."""
        monitor = self._monitors.get(feed)
        if monitor and monitor.ended and time.monotonic() - monitor.ended > AGAIN:
            self.leave(feed)
            self.ask(feed)

    def close(self) -> None:
        for monitor in self._monitors.values():
            monitor.close()
        self._context.close()


class _Monitor:
    """One subscription. p4p's thread says that something is there, maybe before the subscription is ours."""

    def __init__(self, context: Context, feed: Feed):
        self.feed, self._context = feed, context
        self.ended = 0.0
        """When the server ended it, by the monotonic clock."""
        self._lock = threading.Lock()
        self._subscription: Subscription | None = None
        self._operation: Any = None
        self._reads = False
        """Whether an answer is waited for."""
        subscription = context.monitor(feed.name, self._hear, request=REQUEST)
        with self._lock:
            self._subscription = subscription
        self._read()

    def close(self) -> None:
        with self._lock:
            subscription, self._subscription = self._subscription, None
        for one in filter(None, (subscription, self._operation)):
            one.close()

    def get(self) -> None:
        if not self._reads:
            self._reads = True
            self._operation = self._context.get(self.feed.name, self._got)

    def _got(self, answer: object) -> None:
        self._reads = False
        if isinstance(answer, Value):
            self._take(answer)

    def _take(self, structure: Value) -> None:
        try:
            self.feed.take("pva", pva_sample(structure))
        except Exception:  # whatever it is: the value before must not stay
            logger.exception("%s: an update that is not understood", self.feed.name)
            self.feed.refuse("pva", "an update that is not understood")

    def _hear(self) -> None:
        """By p4p's thread, at each sample."""
        keep_state()
        self._read()

    def _read(self) -> None:
        with self._lock:
            while self._subscription and (event := self._subscription.pop()) is not None:
                if isinstance(event, Value):
                    self._take(event)
                elif isinstance(event, Disconnected):
                    self.feed.lose("pva")
                else:
                    self._end(event)

    def _end(self, error: Exception) -> None:
        """The server refuses the subscription, or has ended it."""
        logger.warning("%s: the server ended the subscription: %a", self.feed.name, str(error))
        self.feed.refuse("pva", f"no subscription at its server ({str(error)!a})")
        self.ended = time.monotonic()
