"""Measures that the checker computes itself: which there are, what they need, and what a metric of one is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from beampermit.errors import did_you_mean

if TYPE_CHECKING:
    from beampermit.contract.judging import Metric
    from beampermit.contract.model import Contract
    from beampermit.contract.signals import Signal, Signals

Measure = Literal[
    "roc_auc", "average_precision", "recall", "precision", "f1", "false_positive_rate", "accuracy", "log_loss", "brier",
    "r2", "rmse", "mae", "max_error", "bias", "quantile_error",
]  # fmt: skip
Better = Literal["higher", "lower"]
HIGHER: tuple[Measure, ...] = ("roc_auc", "average_precision", "recall", "precision", "f1", "accuracy", "r2")
"""Measures of which a higher value is better; of all others a lower one is."""
FLAGGING: tuple[Measure, ...] = ("recall", "precision", "f1", "false_positive_rate", "accuracy")
"""Measures of what is flagged: an output at or above a threshold."""
PROBABILITY: tuple[Measure, ...] = ("log_loss", "brier")
"""Measures of a probability."""
CLASSIFYING: tuple[Measure, ...] = (*FLAGGING, *PROBABILITY, "roc_auc", "average_precision")
"""Measures whose target is 0 or 1."""
QUANTILE: Measure = "quantile_error"
OF_ARRAYS: tuple[Measure, ...] = ("rmse", "mae", "max_error", "bias", QUANTILE)
"""Measures that an output with a shape may have: of all its numbers, each as much as another."""


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


def better_of(measure: Measure) -> Better:
    return "higher" if measure in HIGHER else "lower"


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


def metric_problems(metric: Metric) -> Iterator[str]:
    """Keys of a metric that contradict each other."""
    measure, what = metric.measure, f"metric {metric.name!r}"
    if measure is None:
        for key in ("output", "threshold", "quantile"):
            if getattr(metric, key) is not None:
                yield f"{what} has {key}, which only the checker's measures use, and no measure"
        return
    if metric.better != better_of(measure):
        yield f"{what}: of {measure}, a {better_of(measure)} value is better, not a {metric.better} one"
    if metric.threshold is not None and measure not in FLAGGING:
        yield f"{what} has a threshold, and {measure} needs none"
    if measure == QUANTILE and metric.quantile is None:
        yield f"{what}: {measure} needs quantile, such as 0.9"
    if measure != QUANTILE and metric.quantile is not None:
        yield f"{what} has a quantile, and {measure} needs none"


def output_problems(outputs: Sequence[Signal], metrics: Sequence[Metric]) -> Iterator[str]:
    """Metrics that have no output, target or threshold, and outputs that share a target though they are not quantiles.

    Two quantiles of one target are two outputs with one target; two means are not.
    """
    by_name = {signal.name: signal for signal in outputs}
    for metric in metrics:
        if metric.measure:
            yield from _output_problems(metric, by_name)
    quantiles = {metric.output for metric in metrics if metric.measure == QUANTILE}
    others = [signal for signal in outputs if signal.target and signal.name not in quantiles]
    for target, count in Counter(signal.target for signal in others).items():
        if count > 1:
            names = " and ".join(repr(signal.name) for signal in others if signal.target == target)
            yield f"outputs {names} have one target, {target!r}: only quantiles, measured by {QUANTILE}, share one"


def _output_problems(metric: Metric, outputs: dict[str, Signal]) -> Iterator[str]:
    what = f"metric {metric.name!r}"
    if metric.output is None and len(outputs) > 1:
        yield f"{what}: say which output it measures: {', '.join(outputs)}"
        return
    name = metric.output or next(iter(outputs))
    output = outputs.get(name)
    if output is None:
        yield f"{what} measures output {name!r}, which the model does not have{did_you_mean(name, outputs)}"
    elif output.target is None:
        yield f"{what} measures output {name!r}, which has no target to compare it with"
    elif output.shape and metric.measure not in OF_ARRAYS:
        shape, there = list(output.shape), ", ".join(OF_ARRAYS)
        yield f"{what} measures output {name!r} of shape {shape}, and {metric.measure} needs one number; use {there}"
    elif metric.measure in FLAGGING and metric.threshold is None and output.high is None:
        yield f"{what} needs a threshold: output {name!r} has no alarm limit high to take it from"
