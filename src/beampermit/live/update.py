"""What a cycle of the service gives: the value of each output PV with its severity, and what the status PVs say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Literal, Protocol

from beampermit.live.severity import Severity, Status

if TYPE_CHECKING:
    import numpy as np

    from beampermit.live.rows import Rows


State = Literal["STARTING", "SERVING", "DEGRADED", "INVALID", "RETIRED"]
"""`DEGRADED`: some rows are invalid, or what was asked of ledger or registry failed. `INVALID`: all rows are."""


@dataclass(frozen=True)
class Value:
    """Of one output PV. NaN where nothing true can be said; times are in s since 1970."""

    value: float | np.ndarray
    severity: Severity
    status: Status
    message: str
    """Why; empty for a plain answer of the model."""
    newest: float
    """Time of its newest input; of a held value, of those that it was answered for. NaN before the first."""
    origin: Literal["model", "held", "default", "none"] = "model"
    time: float = nan
    """Under which it is shown: see `times.py`. NaN is now."""


@dataclass(frozen=True)
class Health:
    """What the status PVs say; ages and latencies in s."""

    version: int
    """0 before the first answer of a version."""
    permit: str
    status: State
    reason: str
    """The worst that is wrong; empty where nothing is."""
    cycles: int
    """Moves with each cycle of the inference loop: the heartbeat."""
    uptime: float
    input_age: float
    """Of the oldest input."""
    latency_p99: float
    """From when a row was due and its newest input was there to its publication: of the rows before this update."""
    dropped: int
    """Samples that were replaced by newer ones before they were used: of the loop, and once it is shown, of all loops
    while they were in service."""
    restarts: int
    """Of the model's process, counted alike."""
    shadow: str = ""
    """Of a version that runs beside this one: how many cycles, and how far its answers are away."""


@dataclass(frozen=True)
class Update:
    """`values` holds only PVs that changed; `rows` and `answers` are what the model was asked and said, for the log.

    Rows for which a model does not answer are asked for again in each cycle. They are here once, when they were due,
    and once more with the answer.
    """

    values: Mapping[str, Value]
    health: Health
    rows: Rows | None = None
    answers: Mapping[str, np.ndarray] | None = None
    """Output -> array of shape (asked rows, *shape); None where the model was not asked or answered for no row."""
    answered: np.ndarray | None = None
    """Of each asked row, whether it has answers: a model may raise for some. None where it was not asked."""
    latency: float = 0.0
    """Seconds that the model took."""
    at: float = nan
    """When the cycle was, s since 1970."""


class Sink(Protocol):
    """Takes updates: records of an IOC, the prediction log, an HTTP server. `publish` returns soon."""

    def publish(self, update: Update) -> None: ...

    def close(self) -> None: ...
