"""What the HTTP server speaks of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beampermit.live.epics.peers import Peer
    from beampermit.live.loop import Loop
    from beampermit.live.observation.metrics import Metrics
    from beampermit.live.observation.monitoring import MonitorResults
    from beampermit.live.observation.vitals import Vitals

STARTING = 10.0
"""Seconds that a model may take, where none is in service yet."""


@dataclass(frozen=True)
class Observed:
    """`name` is the model's, in its contract; `current` gives the loop in service, None before there is one."""

    name: str
    current: Callable[[], Loop | None]
    vitals: Vitals
    metrics: Metrics
    monitor: MonitorResults | None = None
    clients: Callable[[], tuple[Peer, ...]] = tuple
    """Who is connected to the PVs."""

    @property
    def timeout(self) -> float:
        """Seconds that the model may take."""
        loop = self.current()
        return loop.contract.serving.timeout if loop else STARTING
