"""The checker's own metrics: standard measures of a model's answers against targets, for many weights of rows at once.

With weights of shape (times, rows), one pass gives a measure for each resample or subgroup. A measure that is undefined
for a weighting, such as `roc_auc` of rows of one class, is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.contract.measure import CLASSIFYING, OF_ARRAYS, PROBABILITY
from beampermit.contract.measured import MeasuredMetric
from beampermit.datasets.arrays import depth_of
from beampermit.datasets.tables import connect_to_read, quoted
from beampermit.errors import Failed, did_you_mean
from beampermit.models.score_table import ScoreTable, shape_in_words

if TYPE_CHECKING:
    import numpy as np

VALUES_AT_ONCE = 2**22
"""Weights that are converted and sorted at once: 32 MiB."""
FIRST_ERRORS = 64
"""Of the rows by error, how many are looked at first for one that counts."""
NO_SPREAD = 1e-12
"""Targets whose variance is less than this fraction of their mean square are constant."""


@dataclass(frozen=True)
class Compared:
    """Answers of one output and their targets, shape (rows, *shape of the output) each."""

    answers: np.ndarray
    targets: np.ndarray

    @cached_property
    def errors(self) -> np.ndarray:
        return self.answers - self.targets


def read_compared(metrics: Sequence[MeasuredMetric], scores: Path, inputs: Path) -> dict[str, Compared]:
    """Output -> its answers in the table `scores` and its targets in `inputs`, for these metrics.

    Raises `Failed` where a column is missing, is not a number in each row, or is not what a measure needs.
    """
    compared: dict[str, Compared] = {}
    if not metrics:
        return compared
    answers, targets = _Columns(scores, "the model's scores"), _Columns(inputs, inputs.name)
    for metric in metrics:
        if metric.output not in compared:
            given = answers.read(metric.output, f"output {metric.output!r}")
            truth = targets.read(metric.target, f"target {metric.target!r}")
            if truth.ndim == 2 and truth.size == given.size and len(truth) == len(given):  # one flat list of as many
                truth = truth.reshape(given.shape)
            compared[metric.output] = Compared(given, truth)
        _require_fit(metric, compared[metric.output])
    return compared


def measure(metrics: Sequence[MeasuredMetric], compared: Mapping[str, Compared]) -> dict[str, float]:
    """Name -> value with each row counted once. Raises `Failed` where a measure is undefined."""
    import numpy as np

    values: dict[str, float] = {}
    for name, weighted in measure_weighted(metrics, compared, None).items():
        if not np.isfinite(weighted[0]):
            metric = next(metric for metric in metrics if metric.name == name)
            raise Failed(f"{name} is undefined: {_why_undefined(metric, compared[metric.output])}")
        values[name] = float(weighted[0])
    return values


def measure_weighted(
    metrics: Sequence[MeasuredMetric], compared: Mapping[str, Compared], weights: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Name -> value for each row of `weights`, shape (times, rows); values have shape (times,), NaN where undefined."""
    values: dict[str, np.ndarray] = {}
    ordered = sorted(metrics, key=lambda metric: metric.output)
    for output, group in groupby(ordered, key=lambda metric: metric.output):
        values |= _of_output(tuple(group), compared[output], weights)
    return {metric.name: values[metric.name] for metric in metrics}


def _of_output(
    metrics: Sequence[MeasuredMetric], compared: Compared, weights: np.ndarray | None
) -> dict[str, np.ndarray]:
    import numpy as np

    rows = len(compared.answers)
    weights = np.ones((1, rows)) if weights is None else weights
    by_sums = [(metric, *SUMS[metric.measure](compared, metric)) for metric in metrics if metric.measure in SUMS]
    terms = np.column_stack([term for _, terms, _ in by_sums for term in terms]) if by_sums else None
    ranking = _Ranking(compared) if any(metric.measure in RANKED for metric in metrics) else None
    largest = _Largest(compared) if any(metric.measure == "max_error" for metric in metrics) else None
    values = {metric.name: np.full(len(weights), np.nan) for metric in metrics}
    size = max(1, VALUES_AT_ONCE // max(rows, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        for first in range(0, len(weights), size):
            part = slice(first, first + size)
            chunk = weights[part]
            if terms is not None:
                sums = iter((chunk.astype(float) @ terms).T)
                for metric, own, combine in by_sums:
                    values[metric.name][part] = combine(*(next(sums) for _ in own))
            ranked = ranking.values(chunk) if ranking else {}
            for metric in metrics:
                if metric.measure in ranked:
                    values[metric.name][part] = ranked[metric.measure]
                elif largest and metric.measure == "max_error":
                    values[metric.name][part] = largest.values(chunk)
    return values


Terms = list["np.ndarray"]
Combine = Callable[..., "np.ndarray"]


def _flagged(compared: Compared, metric: MeasuredMetric) -> np.ndarray:
    return (compared.answers >= metric.threshold).astype(float)


def _recall(compared: Compared, metric: MeasuredMetric) -> tuple[Terms, Combine]:
    return [_flagged(compared, metric) * compared.targets, compared.targets], _ratio


def _precision(compared: Compared, metric: MeasuredMetric) -> tuple[Terms, Combine]:
    flagged = _flagged(compared, metric)
    return [flagged * compared.targets, flagged], _ratio


def _f1(compared: Compared, metric: MeasuredMetric) -> tuple[Terms, Combine]:
    flagged = _flagged(compared, metric)
    return [2 * flagged * compared.targets, flagged + compared.targets], _ratio


def _false_positive_rate(compared: Compared, metric: MeasuredMetric) -> tuple[Terms, Combine]:
    negative = 1 - compared.targets
    return [_flagged(compared, metric) * negative, negative], _ratio


def _accuracy(compared: Compared, metric: MeasuredMetric) -> tuple[Terms, Combine]:
    return _mean((_flagged(compared, metric) == compared.targets).astype(float))


def _log_loss(compared: Compared, _metric: MeasuredMetric) -> tuple[Terms, Combine]:
    import numpy as np

    epsilon = np.finfo(float).eps
    probability = np.clip(compared.answers, epsilon, 1 - epsilon)
    return _mean(-np.log(np.where(compared.targets == 1, probability, 1 - probability)))


def _squared(compared: Compared, _metric: MeasuredMetric) -> tuple[Terms, Combine]:
    return _mean(compared.errors**2)


def _rmse(compared: Compared, _metric: MeasuredMetric) -> tuple[Terms, Combine]:
    import numpy as np

    terms, combine = _mean(compared.errors**2)
    return terms, lambda *sums: np.sqrt(combine(*sums))


def _mae(compared: Compared, _metric: MeasuredMetric) -> tuple[Terms, Combine]:
    return _mean(abs(compared.errors))


def _bias(compared: Compared, _metric: MeasuredMetric) -> tuple[Terms, Combine]:
    terms, combine = _mean(compared.errors)
    return terms, lambda *sums: abs(combine(*sums))


def _quantile_error(compared: Compared, metric: MeasuredMetric) -> tuple[Terms, Combine]:
    import numpy as np

    quantile, below = metric.quantile or 0.5, -compared.errors
    return _mean(np.maximum(quantile * below, (quantile - 1) * below))


def _r2(compared: Compared, _metric: MeasuredMetric) -> tuple[Terms, Combine]:
    import numpy as np

    centred = compared.targets - compared.targets.mean()  # of close numbers, the sum of squares loses all digits

    def combine(squared_errors: np.ndarray, sums: np.ndarray, squares: np.ndarray, count: np.ndarray) -> np.ndarray:
        spread = squares - sums**2 / count
        return np.where(spread > NO_SPREAD * squares, 1 - squared_errors / spread, np.nan)

    return [compared.errors**2, centred, centred**2, np.ones_like(centred)], combine


def _mean(values: np.ndarray) -> tuple[Terms, Combine]:
    """Over the rows; of arrays, each row has the mean of its numbers."""
    import numpy as np

    of_rows = values.mean(axis=tuple(range(1, values.ndim)))
    return [of_rows, np.ones_like(of_rows)], _ratio


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / whole


SUMS: dict[str, Callable[[Compared, MeasuredMetric], tuple[Terms, Combine]]] = {
    "recall": _recall,
    "precision": _precision,
    "f1": _f1,
    "false_positive_rate": _false_positive_rate,
    "accuracy": _accuracy,
    "log_loss": _log_loss,
    "brier": _squared,
    "r2": _r2,
    "rmse": _rmse,
    "mae": _mae,
    "bias": _bias,
    "quantile_error": _quantile_error,
}
"""Measures that are a function of weighted sums over the rows: one matrix product gives all of them."""
RANKED = ("roc_auc", "average_precision")


class _Ranking:
    """Measures of the order of the answers. It is the same for all weights, so the rows are sorted once."""

    def __init__(self, compared: Compared):
        import numpy as np

        self._order = np.argsort(-compared.answers, kind="stable")
        answers = compared.answers[self._order]
        self._positive = compared.targets[self._order]
        self._starts = np.flatnonzero(np.append(True, answers[1:] != answers[:-1]))  # of rows with equal answers
        self._tied = len(self._starts) < len(answers)

    def values(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Both measures for each row of `weights`, shape (times, rows)."""
        import numpy as np

        every = weights[:, self._order].astype(float)
        positive = every * self._positive
        if self._tied:
            every, positive = (np.add.reduceat(part, self._starts, axis=1) for part in (every, positive))
        found = np.cumsum(positive, axis=1)  # positives at or above each answer
        positives, flagged = found[:, -1], np.cumsum(every, axis=1)
        negatives = flagged[:, -1] - positives
        # A negative is below all positives but those of its own answer and after; of its own, half count.
        above = np.einsum("tr,tr->t", every - positive, found - positive / 2)
        shares = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
        return {
            "roc_auc": above / (positives * negatives),
            "average_precision": np.einsum("tr,tr->t", positive, shares) / positives,
        }


class _Largest:
    """The largest error of the rows that count."""

    def __init__(self, compared: Compared):
        import numpy as np

        errors = abs(compared.errors).max(axis=tuple(range(1, compared.errors.ndim)))
        self._order = np.argsort(-errors, kind="stable")
        self._errors = errors[self._order]

    def values(self, weights: np.ndarray) -> np.ndarray:
        import numpy as np

        values = np.full(len(weights), np.nan)
        left = np.arange(len(weights))
        for first, last in self._spans():
            counts = weights[np.ix_(left, self._order[first:last])] > 0
            found = counts.any(axis=1)
            values[left[found]] = self._errors[first:last][counts[found].argmax(axis=1)]
            left = left[~found]
            if not len(left):
                break
        return values

    def _spans(self) -> Iterator[tuple[int, int]]:
        rows = len(self._order)
        yield 0, min(FIRST_ERRORS, rows)
        if rows > FIRST_ERRORS:
            yield FIRST_ERRORS, rows


class _Columns:
    """Columns of a Parquet file as numbers; errors call it `name`."""

    def __init__(self, file: Path, name: str):
        import duckdb

        self._file, self._name = file, name
        try:
            with connect_to_read() as connection:
                table = connection.read_parquet(str(file))
                self._kinds = dict(zip(table.columns, map(str, table.types), strict=True))
        except duckdb.Error as error:
            raise Failed(f"{name} cannot be read: {str(error).splitlines()[0]}") from None

    def read(self, column: str, what: str) -> np.ndarray:
        """A column in the order of the rows. Raises `Failed` unless each row has a finite number, or as many as others.

        Shape (rows,), or (rows, *shape of each).
        """
        import numpy as np

        if column not in self._kinds:
            raise Failed(f"{what} is not a column of {self._name}{did_you_mean(column, self._kinds, 'is it')}")
        values = self._arrays(column) if depth_of(self._kinds[column]) else self._numbers(column, what)
        finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        if odd := int((~finite).sum()):
            raise Failed(
                f"{what} is missing or not finite in {odd} of {len(values)} rows of {self._name} "
                f"(first: row {int(np.argmin(finite))})"
            )
        return values

    def _arrays(self, column: str) -> np.ndarray:
        with ScoreTable(self._file, column) as table:
            return table.values(column)

    def _numbers(self, column: str, what: str) -> np.ndarray:
        import numpy as np

        with connect_to_read() as connection:
            table = connection.read_parquet(str(self._file)).select(quoted(column))
            masked = np.ma.asarray(next(iter(table.fetchnumpy().values())))
        if masked.dtype.kind not in "biuf" and not np.ma.getmaskarray(masked).all():
            raise Failed(f"{what} is {self._kinds[column].lower()} in {self._name}, and a measure needs one number")
        return np.ma.filled(masked.astype(float), np.nan)


def _require_fit(metric: MeasuredMetric, compared: Compared) -> None:
    """Raises `Failed` where targets or answers are not of the kind that a measure is about."""
    import numpy as np

    answers, targets = compared.answers, compared.targets
    if len(answers) != len(targets) or not len(answers):
        raise Failed(f"the model gave {len(answers)} answers of {metric.output!r} for {len(targets)} targets")
    own, truth = (shape_in_words(values.shape[1:]) for values in (answers, targets))
    if own != truth:
        raise Failed(f"target {metric.target!r} is {truth} in each row, and output {metric.output!r} is {own}")
    if answers.ndim > 1 and metric.measure not in OF_ARRAYS:
        raise Failed(f"output {metric.output!r} is {own} in each row, and {metric.measure} needs one number")
    if metric.measure in CLASSIFYING and not np.isin(targets, (0, 1)).all():
        other = targets[~np.isin(targets, (0, 1))][0]
        raise Failed(f"{metric.name}: target {metric.target!r} is {other:g} in a row; {metric.measure} needs 0 and 1")
    if metric.measure in PROBABILITY and not ((answers >= 0) & (answers <= 1)).all():
        low, high = answers.min(), answers.max()
        raise Failed(
            f"{metric.name}: output {metric.output!r} is from {low:.4g} to {high:.4g}; {metric.measure} needs "
            "a probability, from 0 to 1"
        )


def _why_undefined(metric: MeasuredMetric, compared: Compared) -> str:
    targets = compared.targets
    if targets.min() == targets.max() and metric.measure != "precision":
        return f"target {metric.target!r} is {targets.min():g} in all {len(targets)} rows"
    if metric.measure in ("precision", "f1"):
        return f"no row of output {metric.output!r} is at or above the threshold {metric.threshold:g}"
    return f"target {metric.target!r} is constant to within rounding"
