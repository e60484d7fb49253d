"""How what was made again compares with what is committed: metrics, weights, predictions, machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beampermit.contract import Contract
from beampermit.datasets.database import connect
from beampermit.errors import Tripped
from beampermit.metrics import said
from beampermit.reproduction.weights import Likeness, Tensor, worst
from beampermit.verdict import Record

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
        here, now = said(self.committed, self.retrained), said(self.retrained, self.committed)
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


def pairs(judge: Contract, committed: dict[str, float], retrained: dict[str, float]) -> tuple[Pair, ...]:
    """The gated metrics side by side."""
    tolerance = judge.reproducibility.metric_tolerance
    return tuple(
        _pair(metric.name, committed.get(metric.name), retrained.get(metric.name), tolerance)
        for metric in judge.metrics
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
    """Two tables of scores, row by row. Raises `Tripped` where they are not of the same rows and outputs, or where one
    is a number and the other is none.
    """
    import numpy as np

    with connect() as connection:
        old, new = (connection.read_parquet(str(path)) for path in (before, after))
        if old.columns != new.columns:
            raise Tripped(f"the model now gives {', '.join(new.columns)}, and gave {', '.join(old.columns)}")
        rows, again = (len(table) for table in (old, new))
        if rows != again:
            raise Tripped(f"the model now gives {again} rows, and gave {rows}")
        columns = (old.fetchnumpy(), new.fetchnumpy())
    largest = 0.0
    for name, values in columns[0].items():
        was, now = np.asarray(values, float), np.asarray(columns[1][name], float)
        if (spoilt := np.isfinite(was) != np.isfinite(now)).any():
            raise Tripped(f"{name} of {int(spoilt.sum())} rows is finite for one of the models and not for the other")
        largest = max(largest, float(np.abs(was - now)[np.isfinite(was)].max(initial=0.0)))
    return Predictions(rows=rows, largest=largest, within=tolerance is None or largest <= tolerance)


def _pair(name: str, committed: float | None, retrained: float | None, tolerance: float) -> Pair:
    within = (
        committed is not None
        and retrained is not None
        and abs(committed - retrained) <= tolerance * max(1.0, abs(committed), abs(retrained))
    )
    return Pair(name=name, committed=committed, retrained=retrained, within=within)
