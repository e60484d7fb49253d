"""How far the gated metrics spread over seeds, and which seeds are to blame."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from beampermit.contract import Contract, Metric
from beampermit.errors import Tripped
from beampermit.metrics import said
from beampermit.reproduction.plateau import since, stuck
from beampermit.reproduction.record import TrainingRecord
from beampermit.verdict import Record

APART = 3.0
"""Two groups of seeds are apart if the gap between them is so many times what either spreads by itself."""


class Spread(Record):
    """One gated metric over the seeds."""

    name: str
    values: dict[int, float]
    width: float
    within: bool

    @property
    def words(self) -> str:
        """Such as `auc from 0.9901 to 0.9926`."""
        low, high = min(self.values.values()), max(self.values.values())
        return f"{self.name} from {said(low, high)} to {said(high, low)}"


class Spreads(Record):
    """All gated metrics; `because` tells which seeds stand apart, where they do."""

    metrics: tuple[Spread, ...]
    tolerance: float
    because: tuple[str, ...]

    @property
    def within(self) -> bool:
        """Whether no metric spreads by more than the tolerance."""
        return all(metric.within for metric in self.metrics)


def spread(
    judge: Contract, metrics: Mapping[int, Mapping[str, float]], records: Mapping[int, TrainingRecord]
) -> Spreads:
    """Judge `metrics`, seed -> name -> value. Raises `Tripped` where a seed lacks one that is gated."""
    rule = judge.reproducibility
    tolerance = rule.metric_tolerance if rule.seed_tolerance is None else rule.seed_tolerance
    found = tuple(_spread(metric, metrics, tolerance) for metric in judge.metrics)
    outside = [one for one in found if not one.within]
    because = (_stuck(records) or _apart(outside)) if outside else ()
    return Spreads(metrics=found, tolerance=tolerance, because=because)


def _spread(metric: Metric, metrics: Mapping[int, Mapping[str, float]], tolerance: float) -> Spread:
    lacking = [seed for seed, found in metrics.items() if metric.name not in found]
    if lacking:
        raise Tripped(f"{metric.name} is not among the metrics of seed {lacking[0]}")
    values = {seed: found[metric.name] for seed, found in metrics.items()}
    width = max(values.values()) - min(values.values())
    scale = max(1.0, *(abs(value) for value in values.values()))
    return Spread(name=metric.name, values=values, width=width, within=width <= tolerance * scale)


def _stuck(records: Mapping[int, TrainingRecord]) -> tuple[str, ...]:
    """Seeds whose training is stuck in a local minimum, by their loss."""
    curves = {seed: record.loss for seed, record in records.items() if record.loss}
    best = min((min(loss) for loss in curves.values()), default=0.0)
    return tuple(
        f"seed {seed} is stuck in a local minimum: its loss stands at {loss[-1]:.4g} since epoch {since(loss)}, "
        f"the best seed came to {best:.4g}"
        for seed, loss in curves.items()
        if stuck(loss, best)
    )


def _apart(outside: list[Spread]) -> tuple[str, ...]:
    """Metrics that fall into two groups: some seeds find another minimum than the others."""
    found: list[str] = []
    for metric in outside:
        order = sorted(metric.values, key=lambda seed: metric.values[seed])
        numbers = [metric.values[seed] for seed in order]
        gaps = [after - before for before, after in pairwise(numbers)]
        place = gaps.index(max(gaps)) + 1
        own = max(numbers[place - 1] - numbers[0], numbers[-1] - numbers[place])
        if len(numbers) > 2 and max(gaps) > APART * own:
            low, high = (", ".join(map(str, seeds)) for seeds in (sorted(order[:place]), sorted(order[place:])))
            found.append(f"{metric.name} falls into two groups: seeds {low} and seeds {high} found different minima")
    return tuple(found)
