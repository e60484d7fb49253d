"""What the service last said of itself, when it began to be so, and whether its inference loop still runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from beampermit.live.observation.notify import BEGINS

if TYPE_CHECKING:
    from beampermit.live.update import Health, Update

GRACE = 10.0
"""Seconds, beside the time that the model may take, after which a loop without a cycle does not run."""


@dataclass(frozen=True)
class Report:
    health: Health
    since: float
    """Since when its status is what it is, s since 1970."""
    beat: float
    """When the last cycle was, by the monotonic clock."""


class Vitals:
    """A sink; read from any thread."""

    def __init__(
        self,
        log_problem: Callable[[], str] = lambda: "",
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        """`log_problem` says why the prediction log cannot be written; nothing where it can."""
        self._log_problem, self._clock, self._monotonic = log_problem, clock, monotonic
        self.report: Report | None = None
        """None before the first cycle."""
        self._waited = monotonic()
        """When the thread that begins the first version was last seen to wait."""

    def publish(self, update: Update) -> None:
        before, health = self.report, update.health
        same = before is not None and before.health.status == health.status
        since = before.since if before and same else self._clock()
        self.report = Report(health, since, self._monotonic())

    def close(self) -> None:
        """There is nothing to close."""

    def wait(self) -> None:
        """A sign of life where there is no loop, by the thread that begins it."""
        self._waited = self._monotonic()

    def alive(self, timeout: float) -> bool:
        """Whether the loop runs, or a first one may still begin; `timeout` is the time that the model may take, s."""
        if self.report is None:
            return self._monotonic() - self._waited <= BEGINS
        return self._monotonic() - self.report.beat <= timeout + GRACE

    def describe(self, name: str, timeout: float) -> dict[str, Any]:
        """As JSON; ages and latencies in s, null where they are not known."""
        report = self.report
        about = {"name": name, "alive": self.alive(timeout), "log": self._log_problem()}
        if report is None:
            return {**about, "version": 0, "status": "STARTING", "reason": "there was no cycle yet"}
        health = report.health
        return {
            **about,
            "version": health.version,
            "permit": health.permit,
            "status": health.status,
            "reason": health.reason,
            "since": report.since,
            "heartbeat": health.cycles,
            "uptime": health.uptime,
            "input_age": _known(health.input_age),
            "latency_p99": _known(health.latency_p99),
            "dropped": health.dropped,
            "restarts": health.restarts,
            "shadow": health.shadow,
        }


def _known(seconds: float) -> float | None:
    return seconds if isfinite(seconds) else None
