"""Which version's updates reach the sinks: one at a time, and the next one takes over between two updates."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from beampermit.live.shadow import Shadow
from beampermit.live.update import Sink, Update, Value


class Switch:
    """Each version publishes through a channel of its own, from the thread of its loop.

    `on_shown` is called by that thread with a version whose first number has gone out. `remark` gives what else there
    is to say of a service whose outputs are well.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        on_shown: Callable[[int], None] = lambda _: None,
        remark: Callable[[], str] = lambda: "",
    ):
        self._sinks, self._on_shown, self._remark = tuple(sinks), on_shown, remark
        self._version = 0
        self._lock = threading.Lock()
        self._began, self._updates = time.monotonic(), 0
        self._dropped = self._restarts = 0
        """While they were in service, by all versions since the service began."""
        self._shown: dict[str, Value] = {}
        """What the sinks have of each PV, of whatever version."""
        self._current: Channel | None = None
        self._beside: Channel | None = None

    def channel(self) -> Channel:
        """For one version."""
        return Channel(self)

    def begin(self, channel: Channel) -> None:
        """Put a version into service at once."""
        with self._lock:
            self._current, self._beside = channel, None

    def beside(
        self, channel: Channel, shadow: Shadow, take_over: Callable[[], None] | None, adopt: Callable[[], None] | None
    ) -> None:
        """Run a version beside the one in service. When it takes over, `adopt` is called before its first update goes
        out, and `take_over` after it, each once, by its own thread.

        Without `adopt`, its PVs are others than those that are there: `take_over` is called once it may, and what is in
        service stays.
        """
        with self._lock:
            channel.shadow, channel.take_over, channel.adopt = shadow, take_over, adopt
            self._beside = channel

    def withdraw(self, channel: Channel) -> bool:
        """Nothing runs beside the version in service any more; False where this one serves by now."""
        with self._lock:
            self._beside = None
            return channel is not self._current

    def publish(self, channel: Channel, update: Update) -> Mapping[str, Value] | None:
        with self._lock:
            if channel is self._current:
                return self._forward(channel, update)
            return self._compare(channel, update) if channel is self._beside else None

    def _forward(self, channel: Channel, update: Update) -> Mapping[str, Value]:
        if not channel.began:
            # In the update that carries its first value, a version shows all of them.
            update, channel.began = replace(update, values=channel.go_on_from(self._shown, update.at)), True
        self._shown.update(update.values)
        self._updates += 1
        dropped, restarts = channel.counted(update)
        self._dropped, self._restarts = self._dropped + dropped, self._restarts + restarts
        of_all = {
            "cycles": self._updates,
            "uptime": time.monotonic() - self._began,
            "dropped": self._dropped,
            "restarts": self._restarts,
            "reason": update.health.reason or self._remark(),
        }
        if self._beside and self._beside.shadow:
            self._beside.shadow.compare(update.values, self._beside.shown())
            of_all["shadow"] = self._beside.shadow.describe()
        update = replace(update, health=replace(update.health, **of_all))
        for sink in self._sinks:
            sink.publish(update)
        if update.health.version not in (0, self._version):
            self._version = update.health.version
            self._on_shown(self._version)
        return update.values

    def _compare(self, channel: Channel, update: Update) -> Mapping[str, Value] | None:
        shadow, current = channel.shadow, self._current
        channel.counted(update)
        if shadow is None:
            return None
        shown = current.shown() if current else {}
        shadow.count(update, channel.shown())
        shadow.compare(update.values, shown)
        shadow.look(channel.shown(), shown)
        if channel.take_over is None or not shadow.ready(shown):
            return None
        self._beside = None
        if channel.adopt is None:
            channel.take_over()
            return None
        self._current = channel
        try:
            channel.adopt()
            return self._forward(channel, update)
        finally:
            channel.take_over()


class Channel:
    """The way of one version's updates."""

    def __init__(self, switch: Switch):
        self._switch = switch
        self.shown: Callable[[], Mapping[str, Value]] = dict
        """All values of the version as they are; to be set before its first update, as what follows."""
        self.go_on_from: Callable[[Mapping[str, Value], float], Mapping[str, Value]] = lambda *_: self.shown()
        """The same where another version has shown these until then, by the thread of its updates."""
        self.began = False
        self.shadow: Shadow | None = None
        self.take_over: Callable[[], None] | None = None
        self.adopt: Callable[[], None] | None = None
        self._counts = 0, 0

    def counted(self, update: Update) -> tuple[int, int]:
        """Samples dropped and starts of the model's process since the update before."""
        before, self._counts = self._counts, (update.health.dropped, update.health.restarts)
        return self._counts[0] - before[0], self._counts[1] - before[1]

    def publish(self, update: Update) -> Mapping[str, Value] | None:
        """What the sinks were told to show; None while another version shows."""
        return self._switch.publish(self, update)
