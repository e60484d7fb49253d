"""What the checker computes for the metrics of a contract: a measure of an output that the model answers."""

from __future__ import annotations

from dataclasses import dataclass

from beampermit.contract.judging import Metric
from beampermit.contract.measure import FLAGGING, Measure
from beampermit.contract.model import Contract
from beampermit.contract.signals import Signal, Signals


@dataclass(frozen=True)
class MeasuredMetric:
    """What the checker computes for a metric: a measure of an output against its target."""

    name: str
    measure: Measure
    output: str
    target: str
    threshold: float | None = None
    """Of the measures in `FLAGGING`."""
    quantile: float | None = None
    """Of `QUANTILE`."""


def measured_metrics(rules: Contract, served: Signals) -> tuple[MeasuredMetric, ...]:
    """The metrics of `rules` that the checker computes, of a model with the signals `served`.

    An output that the model calls otherwise is found by its target. A threshold that no metric sets is the alarm limit
    `high` of `served`: it decides what is flagged in service.
    """
    return tuple(
        _measured(metric, metric.measure, output_of(metric, rules.signals), served)
        for metric in rules.metrics
        if metric.measure
    )


def output_of(metric: Metric, signals: Signals) -> Signal:
    """The output that a metric of a valid contract is about: the only one where it names none."""
    return next(signal for signal in signals.outputs if metric.output in (None, signal.name))


def answering(output: Signal, served: Signals) -> Signal | None:
    """The output of a model that answers what `output` does: by its name, else by its target; else None."""
    named = next((signal for signal in served.outputs if signal.name == output.name), None)
    return named or next(
        (signal for signal in served.outputs if output.target and signal.target == output.target), None
    )


def _measured(metric: Metric, measure: Measure, output: Signal, served: Signals) -> MeasuredMetric:
    answers = answering(output, served) or output
    threshold = metric.threshold
    if threshold is None and measure in FLAGGING:
        threshold = output.high if answers.high is None else answers.high
    return MeasuredMetric(metric.name, measure, answers.name, output.target or "", threshold, metric.quantile)
