"""The count of lost rows is one of the service, whatever versions begin and end."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from beampermit.live.log.open_logs import OpenLogs


@dataclass(eq=False)
class Log:
    """Stands for a prediction log."""

    lost: int = 0
    problem: str = ""
    at_the_end: int = 0
    """Rows that it loses while it is closed."""
    closed: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        self.lost += self.at_the_end
        self.closed.set()


def opened(logs: OpenLogs, **log: Any) -> Any:
    made: Any = Log(**log)
    logs.add(made)
    return made


def test_rows_that_a_closed_log_has_lost_still_count_and_its_problem_does_not() -> None:
    logs = OpenLogs()
    first = opened(logs, lost=7, at_the_end=2, problem="no space left on device")
    assert (logs.lost, logs.problem) == (7, "no space left on device")
    logs.close(first)
    assert first.closed.is_set()
    opened(logs, lost=3)  # the same version serves again
    assert (logs.lost, logs.problem) == (12, "")


def test_versions_may_begin_and_end_while_somebody_reads() -> None:
    logs, over = OpenLogs(), threading.Event()
    counts: list[int] = []

    def read() -> None:
        while not over.is_set():
            counts.append(logs.lost)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(1000):
        logs.close(opened(logs, lost=1))
    over.set()
    reader.join(20)
    assert logs.lost == 1000
    assert counts == sorted(counts), "a count that falls is a new start for Prometheus"
