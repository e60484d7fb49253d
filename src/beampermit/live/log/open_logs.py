"""What the logs of all versions that run say together."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beampermit.live.log.prediction_log import PredictionLog


class OpenLogs:
    """Thread-safe. What a log has lost still counts once it is closed: a count that falls looks like a new start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[PredictionLog] = set()
        self._lost_before = 0
        """Rows that logs have lost which are closed."""

    def add(self, log: PredictionLog) -> None:
        with self._lock:
            self._open.add(log)

    def close(self, log: PredictionLog) -> None:
        log.close()
        with self._lock:
            self._open.remove(log)
            self._lost_before += log.lost

    @property
    def lost(self) -> int:
        """Rows, since the service began."""
        with self._lock:
            return self._lost_before + sum(log.lost for log in self._open)

    @property
    def problem(self) -> str:
        """Why one of them cannot be written; empty where all can."""
        with self._lock:
            return next((log.problem for log in self._open if log.problem), "")
