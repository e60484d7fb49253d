"""How what was made again compares with what is committed: metrics, weights, predictions, machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from beampermit.contract import Contract, Metric
from beampermit.datasets.tables import connect
from beampermit.errors import Failed
from beampermit.models.metrics import format_number
from beampermit.record import Record
from beampermit.reproduction.record import TrainingRecord
from beampermit.reproduction.weights import Likeness, Tensor, worst

PACKAGES = "packages."
MOST_TENSORS = 50


class Pair(Record):
    """A gated metric, as committed and as made again; None where a side has none."""

    name: str
    committed: float | None
    retrained: float | None
    within: bool

    @property
    def words(self) -> str:
        """Such as `auc 0.9926 committed, 0.5 now`."""
        if self.committed is None or self.retrained is None:
            return f"{self.name} {'is not committed' if self.committed is None else 'was not made again'}"
        here, now = format_number(self.committed, self.retrained), format_number(self.retrained, self.committed)
        return f"{self.name} {here} committed, {now} now"


class Predictions(Record):
    """Both models on the evaluation's inputs; `largest` is the largest difference of an output."""

    rows: int
    largest: float
    within: bool


class Compared(Record):
    """All of it. `machine` holds what differs: name -> both sides; None where either training left no record of it."""

    metrics: tuple[Pair, ...]
    tensors: tuple[Tensor, ...]
    predictions: Predictions | None
    """None where the weights are the same bytes: then so are the predictions."""
    machine: dict[str, tuple[str, str]] | None
    unscored: str = ""
    """Why predictions of a model that is another one anyway could not be had."""

    @property
    def identical(self) -> bool:
        """Not one number differs."""
        same = all(pair.committed == pair.retrained for pair in self.metrics)
        return same and worst(self.tensors) is None and (self.predictions is None or self.predictions.largest == 0)

    @property
    def weights_within(self) -> bool:
        """Whether no tensor differs by more than the tolerance."""
        return all(tensor.likeness is not Likeness.DIFFERENT for tensor in self.tensors)

    @property
    def weights_comparable(self) -> bool:
        """Whether both trainings ran on the same kind of machine: on another one, other bits are no fault."""
        return self.machine == {}

    @property
    def within(self) -> bool:
        """Whether metrics and predictions, and on the same kind of machine weights, are within tolerance."""
        numbers = all(pair.within for pair in self.metrics)
        predictions = self.predictions is None or self.predictions.within
        return numbers and predictions and (self.weights_within or not self.weights_comparable)

    def as_evidence(self) -> dict[str, Any]:
        """For a verdict: of many tensors, those that differ most."""
        body = self.model_dump(mode="json")
        order = sorted(self.tensors, key=lambda one: -1.0 if one.absolute is None else -one.absolute)
        counts = {kind.value: sum(one.likeness is kind for one in self.tensors) for kind in Likeness}
        return {**body, "tensors": [one.model_dump(mode="json") for one in order[:MOST_TENSORS]], "counts": counts}


def pairs(base_contract: Contract, committed: dict[str, float], retrained: dict[str, float]) -> tuple[Pair, ...]:
    """The gated metrics side by side."""
    tolerance = base_contract.reproducibility.metric_tolerance
    return tuple(
        _pair(metric.name, committed.get(metric.name), retrained.get(metric.name), tolerance)
        for metric in base_contract.metrics
    )


def machines(committed: dict[str, str], retrained: dict[str, str]) -> dict[str, tuple[str, str]] | None:
    """What differs between two machines; a package that only one of them has is no difference of what ran."""
    if not committed or not retrained:
        return None
    names = [
        name
        for name in sorted(committed.keys() | retrained.keys())
        if not name.startswith(PACKAGES) or (name in committed and name in retrained)
    ]
    sides = {name: (committed.get(name, "unknown"), retrained.get(name, "unknown")) for name in names}
    return {name: both for name, both in sides.items() if both[0] != both[1]}


def predictions(before: Path, after: Path, tolerance: float | None) -> Predictions:
    """Two tables of scores, row by row. Raises `Failed` where they are not of the same rows and outputs, or where one
    is a number and the other is none.
    """
    import numpy as np

    with connect() as connection:
        old, new = (connection.read_parquet(str(path)) for path in (before, after))
        if old.columns != new.columns:
            raise Failed(f"the model now gives {', '.join(new.columns)}, and gave {', '.join(old.columns)}")
        rows, again = (len(table) for table in (old, new))
        if rows != again:
            raise Failed(f"the model now gives {again} rows, and gave {rows}")
        columns = (old.fetchnumpy(), new.fetchnumpy())
    largest = 0.0
    for name, values in columns[0].items():
        was, now = np.asarray(values, float), np.asarray(columns[1][name], float)
        if (spoilt := np.isfinite(was) != np.isfinite(now)).any():
            raise Failed(f"{name} of {int(spoilt.sum())} rows is finite for one of the models and not for the other")
        largest = max(largest, float(np.abs(was - now)[np.isfinite(was)].max(initial=0.0)))
    return Predictions(rows=rows, largest=largest, within=tolerance is None or largest <= tolerance)


def _pair(name: str, committed: float | None, retrained: float | None, tolerance: float) -> Pair:
    within = (
        committed is not None
        and retrained is not None
        and abs(committed - retrained) <= tolerance * max(1.0, abs(committed), abs(retrained))
    )
    return Pair(name=name, committed=committed, retrained=retrained, within=within)


FAR = 0.25
"""Of the way down that the better training went: so much is still missing."""
STILL = 0.1
"""Of what is missing: in its second half a stuck training gained less."""
FEWEST = 4
"""Epochs below which a curve shows no plateau."""


def stuck(loss: Sequence[float], better: float) -> bool:
    """Whether the curve `loss` ended on a plateau far above `better`, the last loss of another training.

    Shares of the way down are compared, so neither the loss's scale nor its zero matters.
    """
    if len(loss) < FEWEST:
        return False
    start, end = max(loss), min(loss[-(len(loss) // 4) or -1 :])
    missing, way = end - better, start - better
    if way <= 0 or missing <= FAR * way:
        return False
    half = len(loss) // 2
    return min(loss[:half]) - min(loss[half:]) < STILL * missing


def since(loss: Sequence[float]) -> int:
    """The epoch, from 1, after which the loss gained less than a tenth of what it had gained in all."""
    lowest, gained = min(loss), max(loss) - min(loss)
    return next((epoch for epoch, value in enumerate(loss, 1) if value - lowest <= STILL * gained), len(loss))


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
        return f"{self.name} from {format_number(low, high)} to {format_number(high, low)}"


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
    base_contract: Contract, metrics: Mapping[int, Mapping[str, float]], records: Mapping[int, TrainingRecord]
) -> Spreads:
    """Judge `metrics`, seed -> name -> value. Raises `Failed` where a seed lacks one that is gated."""
    rule = base_contract.reproducibility
    tolerance = rule.metric_tolerance if rule.seed_tolerance is None else rule.seed_tolerance
    found = tuple(_spread(metric, metrics, tolerance) for metric in base_contract.metrics)
    outside = [one for one in found if not one.within]
    because = (_stuck(records) or _apart(outside)) if outside else ()
    return Spreads(metrics=found, tolerance=tolerance, because=because)


def _spread(metric: Metric, metrics: Mapping[int, Mapping[str, float]], tolerance: float) -> Spread:
    lacking = [seed for seed, found in metrics.items() if metric.name not in found]
    if lacking:
        raise Failed(f"{metric.name} is not among the metrics of seed {lacking[0]}")
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
