"""Metrics for Prometheus. Whatever can have any number of values, such as a reason, is in no label."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, get_args

from beampermit import __version__
from beampermit.live.observation.journal import lost_lines
from beampermit.live.severity import Severity
from beampermit.live.update import Health, State

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from beampermit.live.loop import Loop
    from beampermit.live.observation.monitoring import MonitorResults, View
    from beampermit.live.update import Update

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, inf)
"""s."""
MODEL = ("model",)
"""Label of all: the name in the contract."""


class Metrics:
    """A sink. `current` gives the loop in service; `lost` the rows that the prediction log has lost; `monitor` what
    monitoring says.

    prometheus_client is imported when somebody reads, not before the outputs are there.
    """

    def __init__(
        self,
        model: str,
        current: Callable[[], Loop | None],
        lost: Callable[[], int] = lambda: 0,
        monitor: MonitorResults | None = None,
    ):
        self._model, self._current, self._lost, self._monitor = model, current, lost, monitor
        self._health: Health | None = None
        self._answers = [0] * len(BUCKETS)
        self._seconds = 0.0

    def publish(self, update: Update) -> None:
        self._health = update.health
        if update.rows is not None:
            self._answers[bisect_left(BUCKETS, update.latency)] += 1
            self._seconds += update.latency

    def close(self) -> None:
        """There is nothing to close."""

    def text(self) -> bytes:
        """As Prometheus reads it."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """For `prometheus_client`, at each reading."""
        yield self._latencies()
        if self._health is not None:
            yield from self._of_health(self._health)
        yield self._counter("log_lost_rows", "Rows that the prediction log has lost", self._lost())
        yield self._counter("service_log_lost_lines", "Lines that the service's log has lost", lost_lines())
        if loop := self._current():
            yield self._severities(loop)
            yield self._bypasses(loop)
            permitted = not loop.standing.refused
            yield self._gauge("permitted", "1 where the version may be served", permitted)
            if self._monitor and self._health:
                yield from self._of_monitoring(self._monitor.view(self._health.version, loop.contract.monitoring.every))

    def _latencies(self) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        limits = ["+Inf" if limit == inf else str(limit) for limit in BUCKETS]
        counts = list(zip(limits, accumulate(self._answers), strict=True))
        family = HistogramMetricFamily("beampermit_model_seconds", "Time that the model took", labels=MODEL)
        family.add_metric([self._model], counts, self._seconds)
        return family

    def _of_health(self, health: Health) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        about = {"version": str(health.version), "permit": health.permit, "beampermit": __version__}
        info = InfoMetricFamily("beampermit_served", "What is in service", labels=MODEL)
        info.add_metric([self._model], about)
        status = GaugeMetricFamily("beampermit_status", "1 for what it is", labels=[*MODEL, "status"])
        for state in get_args(State):
            status.add_metric([self._model, state], state == health.status)
        yield info
        yield status
        yield self._counter("cycles", "Cycles of the inference loop", health.cycles)
        yield self._counter("dropped_samples", "Samples replaced before they were used", health.dropped)
        yield self._counter("model_restarts", "Starts of the model's process after the first", health.restarts)
        yield self._gauge("uptime_seconds", "Since the service started", health.uptime)
        yield self._gauge("input_age_seconds", "Age of the oldest input", health.input_age)
        yield self._gauge("latency_p99_seconds", "From input to output, 99th percentile", health.latency_p99)

    def _of_monitoring(self, view: View) -> Iterator[Metric]:
        """NaN where it is not known."""
        from prometheus_client.core import GaugeMetricFamily

        yield self._gauge("monitor_age_seconds", "Of the last result of monitoring", view.age.value)
        yield self._gauge("drift_ratio", "Largest drift, as part of its limit", view.drift.value)
        labels = [*MODEL, "check"]
        ratios = GaugeMetricFamily(
            "beampermit_monitored_ratio", "Worst of a check, as part of its limit", labels=labels
        )
        alarms = GaugeMetricFamily("beampermit_monitored_severity", "0 to 3, as EPICS counts", labels=labels)
        for check, shown in view.checks.items():
            ratios.add_metric([self._model, check], shown.value)
            alarms.add_metric([self._model, check], shown.severity)
        yield ratios
        yield alarms

    def _severities(self, loop: Loop) -> Metric:
        """PVs of each output by severity."""
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily("beampermit_outputs", "PVs of an output", labels=[*MODEL, "output", "severity"])
        values = loop.shown()
        for plug in loop.wiring.outputs:
            counts = Counter(values[pv].severity for pv in plug.pvs if pv in values)
            for severity in Severity:
                family.add_metric([self._model, plug.signal.name, severity.name], counts[severity])
        return family

    def _bypasses(self, loop: Loop) -> Metric:
        """Of alarms by their causes and checks: a severity of 0 is then no sign that all is well."""
        from prometheus_client.core import GaugeMetricFamily

        labels = [*MODEL, "alarm", "subject"]
        family = GaugeMetricFamily("beampermit_bypassed_until_seconds", "End of a bypass, s since 1970", labels=labels)
        for one in loop.standing.bypassed:
            family.add_metric([self._model, one.alarm, one.subject], one.until)
        return family

    def _counter(self, name: str, description: str, value: float) -> Metric:
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily(f"beampermit_{name}", description, labels=MODEL)
        family.add_metric([self._model], value)
        return family

    def _gauge(self, name: str, description: str, value: float) -> Metric:
        from prometheus_client.core import GaugeMetricFamily

        family = GaugeMetricFamily(f"beampermit_{name}", description, labels=MODEL)
        family.add_metric([self._model], value)
        return family
