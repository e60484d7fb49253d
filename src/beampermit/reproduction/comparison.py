"""Compare a retrained model with the committed one: metrics, weights, predictions, machine; and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from beampermit.contract import Contract, Metric, Signal
from beampermit.contract.signals import tolerance_of
from beampermit.contract.tolerance import allowed, in_words
from beampermit.errors import Failed, counted
from beampermit.models.metrics import format_number
from beampermit.models.replay import Limit
from beampermit.models.score_table import ScoreTable
from beampermit.record import Record
from beampermit.reproduction.retraining import TrainingRecord
from beampermit.reproduction.weights import Likeness, Tensor, most_different

PACKAGES = "packages."
MOST_TENSORS = 50


class MetricPair(Record):
    """A gated metric as committed and as retrained; None where it is missing."""

    name: str
    committed: float | None
    retrained: float | None
    within: bool
    allowed: str
    """The largest difference: `0.02`, or `2% of 0.97`."""

    @property
    def text(self) -> str:
        """`auc 0.9926 committed, 0.5 retrained, 0.02 allowed`; what is allowed only where that is exceeded."""
        if self.committed is None or self.retrained is None:
            return f"{self.name} is missing from the {'committed' if self.committed is None else 'retrained'} metrics"
        committed, retrained = (
            format_number(self.committed, self.retrained),
            format_number(self.retrained, self.committed),
        )
        limit = "" if self.within else f", {self.allowed} allowed"
        return f"{self.name} {committed} committed, {retrained} retrained{limit}"


class Predictions(Record):
    """Of the outputs of the two models on the evaluation's inputs, the difference that is largest for what is allowed.

    `output` and `allowed` are that output's.
    """

    rows: int
    output: str
    largest: float
    allowed: str
    within: bool


class Comparison(Record):
    """`machine` has the differences: name -> (committed, retrained); None where either record is missing."""

    metrics: tuple[MetricPair, ...]
    tensors: tuple[Tensor, ...]
    """Empty for a model whose format has none."""
    predictions: Predictions | None
    """Always compared, since a model may differ where no tensor shows it; None where it cannot be used."""
    machine: dict[str, tuple[str, str]] | None
    unscored: str = ""
    """Why predictions could not be compared, where the models differ anyway."""

    @property
    def identical(self) -> bool:
        same = all(pair.committed == pair.retrained for pair in self.metrics)
        return (
            same
            and most_different(self.tensors) is None
            and (self.predictions is None or self.predictions.largest == 0)
        )

    @property
    def weights_within(self) -> bool:
        return all(tensor.likeness is not Likeness.DIFFERENT for tensor in self.tensors)

    @property
    def weights_comparable(self) -> bool:
        """Whether both trainings ran on the same kind of machine; on another, small differences are expected."""
        return self.machine == {}

    @property
    def within(self) -> bool:
        """Whether metrics, predictions and, on the same kind of machine, weights are within tolerance."""
        metrics = all(pair.within for pair in self.metrics)
        predictions = self.predictions is None or self.predictions.within
        return metrics and predictions and (self.weights_within or not self.weights_comparable)

    def as_evidence(self) -> dict[str, Any]:
        """For a verdict, with only the tensors that differ most."""
        body = self.model_dump(mode="json")
        order = sorted(self.tensors, key=lambda tensor: -1.0 if tensor.absolute is None else -tensor.absolute)
        counts = {kind.value: sum(tensor.likeness is kind for tensor in self.tensors) for kind in Likeness}
        return {
            **body,
            "tensors": [tensor.model_dump(mode="json") for tensor in order[:MOST_TENSORS]],
            "counts": counts,
        }


def compare_metrics(
    base_contract: Contract, committed: dict[str, float], retrained: dict[str, float]
) -> tuple[MetricPair, ...]:
    return tuple(
        _pair(metric, committed.get(metric.name), retrained.get(metric.name)) for metric in base_contract.metrics
    )


def compare_machines(committed: dict[str, str], retrained: dict[str, str]) -> dict[str, tuple[str, str]] | None:
    """The differences of two machine records, except packages that only one of them has; None where one is empty."""
    if not committed or not retrained:
        return None
    names = [
        name
        for name in sorted(committed.keys() | retrained.keys())
        if not name.startswith(PACKAGES) or (name in committed and name in retrained)
    ]
    both = {name: (committed.get(name, "unknown"), retrained.get(name, "unknown")) for name in names}
    return {name: (old, new) for name, (old, new) in both.items() if old != new}


def compare_predictions(before: Path, after: Path, outputs: Sequence[Signal]) -> Predictions:
    """Compare two tables of scores row by row: each output within its tolerance, or `RELATIVE` of the score.

    A percentage is of the span of the committed model's scores of that output.

    Raises `Failed` where rows, outputs or finite values do not match.
    """
    import numpy as np

    with ScoreTable(before) as old, ScoreTable(after) as new:
        if old.described != new.described:
            raise Failed(f"the retrained model gives {new.described}, the committed one {old.described}")
        rows = old.rows
        if rows != new.rows:
            raise Failed(f"the retrained model gives {counted(new.rows, 'row')}, the committed one {rows}")
        columns = {name: (old.values(name), new.values(name)) for name in old.outputs}
    found: list[tuple[float, Predictions]] = []
    for name, (before_values, after_values) in columns.items():
        finite = np.isfinite(before_values)
        if (unequal := finite != np.isfinite(after_values)).any():
            odd = int(unequal.reshape(rows, -1).any(axis=1).sum())
            raise Failed(f"{name} of {odd} rows is finite for only one of the two models")
        differences = np.abs(before_values - after_values)[finite]
        scores = before_values[finite]
        tolerance = tolerance_of(outputs, name, "tolerance")
        rule = Limit.of(scores, tolerance)
        limits = rule.at(scores)
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.where(differences > 0, differences / limits, 0.0)
        worst = int(excess.argmax()) if excess.size else 0
        largest = float(differences[worst]) if excess.size else 0.0
        within = bool((differences <= limits).all())
        compared = Predictions(rows=rows, output=name, largest=largest, allowed=rule.words, within=within)
        found.append((float(excess.max(initial=0.0)), compared))
    return max(found, key=lambda pair: pair[0])[1]


def _pair(metric: Metric, committed: float | None, retrained: float | None) -> MetricPair:
    limit = allowed(metric.tolerance, committed or 0.0)
    within = committed is not None and retrained is not None and abs(committed - retrained) <= limit
    words = in_words(metric.tolerance, committed or 0.0)
    return MetricPair(name=metric.name, committed=committed, retrained=retrained, within=within, allowed=words)


FAR = 0.25
"""A stuck training still misses more than this fraction of the better training's descent."""
STILL = 0.1
"""In its second half a stuck training gains less than this fraction of what it misses."""
FEWEST_EPOCHS = 4
"""A shorter curve shows no plateau."""


def is_stuck(loss: Sequence[float], better: float) -> bool:
    """Whether the curve `loss` ended on a plateau far above `better`, the last loss of another training.

    Fractions of the descent are compared, so neither the scale of the loss nor its zero matters.
    """
    if len(loss) < FEWEST_EPOCHS:
        return False
    start, end = max(loss), min(loss[-(len(loss) // 4) or -1 :])
    missing, descent = end - better, start - better
    if descent <= 0 or missing <= FAR * descent:
        return False
    half = len(loss) // 2
    return min(loss[:half]) - min(loss[half:]) < STILL * missing


def plateau_start(loss: Sequence[float]) -> int:
    """The epoch, from 1, after which less than a tenth (`STILL`) of the descent is left."""
    lowest, descent = min(loss), max(loss) - min(loss)
    return next((epoch for epoch, value in enumerate(loss, 1) if value - lowest <= STILL * descent), len(loss))


GAP = 3.0
"""Seeds form two groups if the gap between them is this many times the width of each."""


class SeedSpread(Record):
    """One gated metric over the seeds."""

    name: str
    values: dict[int, float]
    width: float
    within: bool
    allowed: str
    """The largest width: `0.04`, or `4% of 0.97`."""

    @property
    def text(self) -> str:
        """`auc from 0.9901 to 0.9926`."""
        low, high = min(self.values.values()), max(self.values.values())
        return f"{self.name} from {format_number(low, high)} to {format_number(high, low)}"


class SeedSpreads(Record):
    """All gated metrics. `because` says which seeds differ from the others."""

    metrics: tuple[SeedSpread, ...]
    because: tuple[str, ...]

    @property
    def within(self) -> bool:
        return all(metric.within for metric in self.metrics)


def compare_seeds(
    base_contract: Contract, metrics: Mapping[int, Mapping[str, float]], records: Mapping[int, TrainingRecord]
) -> SeedSpreads:
    """Compare `metrics`, seed -> name -> value. Raises `Failed` where a gated metric of a seed is missing."""
    spreads = tuple(_spread(metric, metrics) for metric in base_contract.metrics)
    outside = [spread for spread in spreads if not spread.within]
    because = (_stuck_seeds(records) or _groups(outside)) if outside else ()
    return SeedSpreads(metrics=spreads, because=because)


def _spread(metric: Metric, metrics: Mapping[int, Mapping[str, float]]) -> SeedSpread:
    missing = [seed for seed, values in metrics.items() if metric.name not in values]
    if missing:
        raise Failed(f"{metric.name} is not among the metrics of seed {missing[0]}")
    values = {seed: of_seed[metric.name] for seed, of_seed in metrics.items()}
    width = max(values.values()) - min(values.values())
    tolerance = metric.tolerance if metric.seed_tolerance is None else metric.seed_tolerance
    largest = max(abs(value) for value in values.values())
    within, words = width <= allowed(tolerance, largest), in_words(tolerance, largest)
    return SeedSpread(name=metric.name, values=values, width=width, within=within, allowed=words)


def _stuck_seeds(records: Mapping[int, TrainingRecord]) -> tuple[str, ...]:
    curves = {seed: record.loss for seed, record in records.items() if record.loss}
    best = min((min(loss) for loss in curves.values()), default=0.0)
    return tuple(
        f"seed {seed} is stuck in a local minimum: its loss stays at {loss[-1]:.4g} since epoch {plateau_start(loss)}, "
        f"the best seed reached {best:.4g}"
        for seed, loss in curves.items()
        if is_stuck(loss, best)
    )


def _groups(outside: list[SeedSpread]) -> tuple[str, ...]:
    """Metrics by which the seeds fall into two groups, which have found different minima."""
    messages: list[str] = []
    for metric in outside:
        order = sorted(metric.values, key=lambda seed: metric.values[seed])
        values = [metric.values[seed] for seed in order]
        gaps = [after - before for before, after in pairwise(values)]
        split = gaps.index(max(gaps)) + 1
        width = max(values[split - 1] - values[0], values[-1] - values[split])
        if len(values) > 2 and max(gaps) > GAP * width:
            low, high = (", ".join(map(str, seeds)) for seeds in (sorted(order[:split]), sorted(order[split:])))
            messages.append(f"{metric.name} falls into two groups: seeds {low} and seeds {high} found different minima")
    return tuple(messages)
