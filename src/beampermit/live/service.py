"""A model in service: the version that serves, the one that may come next, and what changes between them."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from beampermit.errors import BeampermitError, Failed
from beampermit.live.lane import Lane
from beampermit.live.loop import Loop, Standing
from beampermit.live.promoted.job import as_error
from beampermit.live.shadow import Shadow
from beampermit.live.switch import Channel, Switch
from beampermit.live.update import Update, Value

if TYPE_CHECKING:
    from beampermit.live.promoted.promoted import Declared

logger = logging.getLogger(__name__)
WATCH = 1.0
"""Seconds after which the threads of the loops are looked at."""


class MakeLane(Protocol):
    def __call__(self, promoted: Declared, standing: Standing, publish: Publish, /) -> Lane: ...


Publish = Callable[[Update], Mapping[str, Value] | None]
"""Of a channel of the switch."""


class StartAgain(Exception):
    """Records of a running IOC stay as they are: the process has to start again for the PVs of `declared`, or none."""

    def __init__(self, declared: Declared, why: str = "has other output PVs"):
        super().__init__(f"version {declared.version} {why}")
        self.declared = declared


class LoopEnded(Failed):
    """The thread of a loop ended by itself."""


@dataclass(frozen=True)
class _Running:
    promoted: Declared
    lane: Lane
    channel: Channel
    serves: bool
    """Whether it has a model: what is only declared has outputs that say why they have no value."""


@dataclass(frozen=True)
class _Order:
    carry_out: Callable[[], None]
    version: int = 0
    """That is to begin."""


class Service:
    """All methods but `run` may be called from any thread, and return at once.

    `fits` says whether the records that are served are those of another version; `adopt` is told which loop shows from
    here on. `failed` is told of a version that could not begin or whose loop ended, and why; another one goes on.
    `idle` is called at least every `WATCH` s while there is no loop.
    """

    def __init__(
        self,
        switch: Switch,
        make_lane: MakeLane,
        *,
        fits: Callable[[Declared], bool],
        adopt: Callable[[Loop], None],
        failed: Callable[[int, BeampermitError], None] = lambda *_: None,
        idle: Callable[[], None] = lambda: None,
    ):
        self._switch, self._make_lane = switch, make_lane
        self._fits, self._adopt, self._failed, self._idle = fits, adopt, failed, idle
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._current: _Running | None = None
        self._next: _Running | None = None
        self._challenger: tuple[Declared, Standing] | None = None

    @property
    def loop(self) -> Loop | None:
        """Of the version in service."""
        return self._current.lane.loop if self._current else None

    def declare(self, declared: Declared, standing: Standing) -> None:
        """Show the outputs of a version that cannot serve yet, where nothing is served."""
        self._order(lambda: self._declare(declared, standing))

    def promote(self, promoted: Declared, standing: Standing) -> None:
        """Serve this version: at once where nothing is served, else once it has shown that it answers."""
        self._order(lambda: self._promote(promoted, standing), promoted.version)

    def challenge(self, promoted: Declared, standing: Standing) -> None:
        """Run this version beside the champion, whenever nothing else does; it never takes over."""
        self._order(lambda: self._challenge(promoted, standing), promoted.version)

    def end_challenge(self) -> None:
        """End the version beside the champion, unless it is to take over."""
        self._order(self._end_challenge)

    def stand(self, standing: Standing) -> None:
        """What ledger, permit and registry say now of the version that serves."""
        self._order(lambda: self._stand(standing))

    def _order(self, carry_out: Callable[[], None], version: int = 0) -> None:
        self._orders.put(_Order(carry_out, version))

    def end_pvs(self) -> None:
        """Start again without records: the last day of the PVs of a retired version is over."""
        self._order(self._end_pvs)

    def stop(self) -> None:
        self._orders.put(None)

    def run(self) -> None:
        """Until `stop`. Raises `StartAgain`, and `LoopEnded` where a loop died: a number would be shown for ever."""
        try:
            while (order := self._next_order()) is not None:
                self._carry_out(order)
        finally:
            if self._next:
                self._next.lane.stop()
            if current := self._current:
                current.lane.stop(lambda: current.channel.publish(current.lane.loop.ended()))

    def _carry_out(self, order: _Order) -> None:
        """A version that cannot begin never ends the one that serves."""
        try:
            order.carry_out()
        except StartAgain:
            raise
        except Exception as error:
            if self._current is None or not self._current.serves:
                raise
            known = as_error(error, "an order to the service")
            logger.error("a version cannot be served: %s", known, extra={"hint": known.hint})  # noqa: TRY400
            self._give_up(order.version, known)

    def _give_up(self, version: int, error: BeampermitError) -> None:
        """Whoever ordered it may try it again; the challenger goes on, unless it is the one that failed."""
        if not version:
            return
        if self._challenger and self._challenger[0].version == version:
            self._challenger = None
        self._failed(version, error)
        self._run_challenger()

    def _next_order(self) -> _Order | None:
        while True:
            self._look_at_lanes()
            if self._current is None:
                self._idle()
            with suppress(queue.Empty):
                return self._orders.get(timeout=WATCH)

    def _look_at_lanes(self) -> None:
        """A number must not be shown for ever, nor a version run beside the champion that does not run at all."""
        if self._current and not self._current.lane.alive:
            raise LoopEnded(f"the loop of version {self._current.promoted.version} ended")
        if self._next and not self._next.lane.alive:
            version = self._next.promoted.version
            logger.error("the loop of version %s ended beside the champion", version)
            self._withdraw()
            self._give_up(version, LoopEnded("its loop ended, which is a defect of the service"))

    def _declare(self, declared: Declared, standing: Standing) -> None:
        if self._current is None:
            self._begin(declared, standing, serves=False)

    def _begin(self, promoted: Declared, standing: Standing, serves: bool = True) -> None:
        running, old = self._made(promoted, standing, serves), self._current
        self._adopt(running.lane.loop)
        self._current = running
        self._switch.begin(running.channel)
        running.lane.start()
        if old:
            old.lane.stop()
        self._run_challenger()

    def _end_pvs(self) -> None:
        if self._current:
            raise StartAgain(self._current.promoted, "is retired, and the last day of its PVs is over")

    def _promote(self, promoted: Declared, standing: Standing) -> None:
        if self._next and self._next.promoted.version != promoted.version:
            self._withdraw()
        current = self._current
        if current and current.serves and current.promoted.version == promoted.version:
            self._withdraw()  # the ledger went back to it before another one took over
            current.lane.loop.standing = standing
            self._run_challenger()
            return
        fits = current is None or self._fits(promoted)
        if current is None or not current.serves:
            if not fits:
                raise StartAgain(promoted)
            self._begin(promoted, standing)
            return
        self._run_beside(promoted, standing, take_over=self._took_over if fits else self._starts_again, fits=fits)

    def _challenge(self, promoted: Declared, standing: Standing) -> None:
        self._end_challenge()
        self._challenger = promoted, standing
        self._run_challenger()

    def _run_challenger(self) -> None:
        """In an order of its own: where it cannot begin, the champion's is no failure."""
        if self._challenger:
            self._order(self._begin_challenger, self._challenger[0].version)

    def _begin_challenger(self) -> None:
        """Where a champion serves and nothing is to take over from it."""
        current = self._current
        if self._challenger is None or self._next or current is None or not current.serves:
            return
        promoted, standing = self._challenger
        if promoted.version != current.promoted.version:
            self._run_beside(promoted, standing, take_over=None)

    def _run_beside(
        self,
        promoted: Declared,
        standing: Standing,
        take_over: Callable[[_Running], None] | None,
        *,
        fits: bool = True,
    ) -> None:
        running, there = self._next, True
        if running is None or running.promoted.version != promoted.version:
            self._withdraw()
            running, there = self._made(promoted, standing), False
            logger.info("version %s runs beside the champion", promoted.version)
        self._next = running
        needed = promoted.contract.serving.shadow if take_over else None
        shadow = running.channel.shadow or Shadow(promoted.version, needed)
        shadow.needed = needed
        called = (lambda: self._order(lambda: take_over(running))) if take_over else None
        adopt = (lambda: self._adopt(running.lane.loop)) if fits else None
        self._switch.beside(running.channel, shadow, called, adopt)
        running.lane.loop.standing = standing
        if there:
            return
        try:
            running.lane.start()
        except BaseException:
            self._withdraw()
            raise

    def _took_over(self, running: _Running) -> None:
        """Its first update is out already: the switch was made between two cycles."""
        if self._current is running:
            return
        old, self._current = self._current, running
        if self._next is running:
            self._next = None
        logger.info("version %s serves", running.promoted.version)
        if old:
            old.lane.stop()
        self._run_challenger()

    def _starts_again(self, running: _Running) -> None:
        """It answers, and has other PVs than those that are there."""
        if self._next is running:
            raise StartAgain(running.promoted)

    def _end_challenge(self) -> None:
        self._challenger = None
        if self._next and not self._next.channel.take_over:
            self._withdraw()

    def _withdraw(self) -> None:
        """End the version beside the champion, unless it took over a moment ago."""
        running = self._next
        if running is None:
            return
        if not self._switch.withdraw(running.channel):
            self._took_over(running)
            return
        running.lane.stop()
        self._next = None

    def _stand(self, standing: Standing) -> None:
        for running in filter(None, (self._current, self._next)):
            if running.promoted.version == standing.version or not running.serves:
                running.lane.loop.standing = standing

    def _made(self, promoted: Declared, standing: Standing, serves: bool = True) -> _Running:
        channel = self._switch.channel()
        lane = self._make_lane(promoted, standing, channel.publish)
        channel.shown, channel.go_on_from = lane.loop.shown, lane.loop.go_on_from
        return _Running(promoted, lane, channel, serves)
