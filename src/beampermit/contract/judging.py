"""How a model is judged: evaluation, metrics and gates, reproducibility, budget."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BeforeValidator, Field, model_validator

from beampermit.contract.direction import Absent, Loosens
from beampermit.contract.measure import FLAGGING, OF_ARRAYS, QUANTILE, Better, Measure, better_of
from beampermit.contract.part import InsidePath, Name, Part, Prose, Seconds, Text
from beampermit.contract.signals import Signal
from beampermit.contract.tolerance import SAME as SAME_METRIC
from beampermit.contract.tolerance import Tolerance as Difference
from beampermit.errors import did_you_mean

MOST_CROSSED = 3
"""Columns whose combinations are groups; of more, each group has only a few rows."""
SAME = 1e-6
"""Relative difference of two evaluations of the same bytes, where the contract does not say why there is more."""
ZERO = 1e-9
"""Difference below which two values are the same, for metrics that are about zero."""


class Tolerance(Part):
    """Why two evaluations of the same saved model on the same rows differ, and how far."""

    relative: Annotated[float, Field(ge=0, lt=1), Loosens.WHEN_LARGER, Absent(SAME)]
    """Largest relative difference of a metric between two evaluations."""
    because: Prose
    """What differs from one evaluation to the next, such as a random sample of the rows."""


class Evaluation(Part):
    """The saved model scores `inputs`. The checker computes metrics that have a `measure`, the project's own code the
    others, from the scores. The base branch's rows, measures, commands and code decide."""

    metrics: InsidePath = "metrics/metrics.json"
    """Metrics, name -> number; written by the pipeline. Needed where a metric has no `measure`."""
    plots: InsidePath = "metrics/plots.json"
    """Curves and counts for report and card; written by the pipeline."""
    inputs: Annotated[InsidePath, Loosens.WHEN_CHANGED]
    """The split called `test`: a Parquet file with a column for each input of the model."""
    about: Annotated[Text | None, Loosens.INFORMS] = None
    """Why these data, and how they were prepared; for the card (DOC002)."""
    scores: Annotated[InsidePath | None, Loosens.WHEN_REMOVED] = None
    """Parquet file with the scores that the training code gives for the rows of `inputs`, in order; written by the
    pipeline, listed in the manifest. The saved model must give the same (MDL005, and the test deployment)."""
    command: Annotated[tuple[str, ...], Loosens.WHEN_CHANGED] = ()
    """Computes metrics from scores; `{inputs}`, `{scores}` and `{out}` are replaced by paths. Needed where a metric has
    no `measure`."""
    weighted: Annotated[tuple[str, ...], Loosens.WHEN_REMOVED] = ()
    """The same for resamples: `{counts}` is an .npy array (resamples, rows) of how often each row counts; `{out}` is
    name -> a number for each resample, null where undefined. Of metrics without `measure`, needed for intervals and for
    gates of subgroups."""
    tolerance: Tolerance | None = None
    """Two evaluations of the same saved model agree to 1e-6 of a metric, unless this says why not (REP003)."""

    def agree(self, one: float, other: float) -> bool:
        """Whether two evaluations of the same bytes may give these two values of a metric."""
        relative = self.tolerance.relative if self.tolerance else SAME
        return math.isclose(one, other, rel_tol=relative, abs_tol=ZERO)


def _columns(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not 1 <= len(names) <= MOST_CROSSED:
        raise ValueError(f"give one column, or a list of at most {MOST_CROSSED}")
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise ValueError("give column names, each once")
    return value


class Subgroups(Part):
    """A gate that each group of rows must pass; a group of fewer than 10 rows does not pass."""

    by: Annotated[str | tuple[str, ...], BeforeValidator(_columns), Loosens.WHEN_REMOVED]
    """A column of `evaluation.inputs` or of the device table. With a list of two or three, such as `[plane, family]`,
    each combination of their values is a group."""
    gate: Annotated[float, Loosens.WHEN_WORSE]
    """As the metric's own gate."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.by,) if isinstance(self.by, str) else self.by


class Metric(Part):
    """A metric and its gate."""

    name: Name
    measure: Annotated[Measure | None, Loosens.WHEN_CHANGED] = None
    """What the checker computes from the saved model's answers and the targets; by default `evaluation.command` of the
    project computes the metric. `docs/metrics.md` says what each measure is."""
    output: Annotated[Name | None, Loosens.WHEN_CHANGED] = None
    """The output that `measure` is about; needed where there are several."""
    threshold: Annotated[float | None, Loosens.WHEN_SET] = None
    """From this value of the output on, a row is flagged; by default from the output's alarm limit `high`."""
    quantile: Annotated[float | None, Field(gt=0, lt=1), Loosens.WHEN_CHANGED] = None
    """The quantile that the output is, such as 0.9; for `quantile_error`."""
    better: Annotated[Better, Loosens.WHEN_CHANGED] = cast("Better", None)
    """Whether a higher or a lower value is better; follows from `measure`, and is needed without."""
    gate: Annotated[float, Loosens.WHEN_WORSE]
    """The metric must be at least (higher) or at most (lower) this."""
    champion_margin: Annotated[float, Field(ge=0), Loosens.WHEN_LARGER] = 0.0
    """How much worse than the champion's the metric may be."""
    tolerance: Annotated[Difference, Loosens.WHEN_LARGER] = SAME_METRIC
    """Largest difference after the same training (REP001): a number in the metric's unit such as `0.02`, or `2%` of its
    committed value. Of zero, a percentage allows nothing."""
    seed_tolerance: Annotated[Difference | None, Loosens.WHEN_LARGER, Absent("tolerance")] = None
    """Largest spread over the seeds (REP002), in percent of the largest value; `tolerance` where absent."""
    fold_tolerance: Annotated[Difference | None, Loosens.WHEN_LARGER] = None
    """Largest spread over `reproducibility.folds` (REP004), a percentage being of the largest value; any where absent.
    Of metrics with a `measure`: any other is a number of the project's own."""
    subgroups: tuple[Subgroups, ...] = ()
    """Gates for groups of rows, such as each plane or device family (PRF003). Combinations of two columns with gates
    are measured too."""
    description: Annotated[str, Loosens.INFORMS] = ""

    def met(self, value: float) -> bool:
        """Whether a finite value passes the gate."""
        return _passes(self.better, value, self.gate)

    def met_by_group(self, value: float, group: Subgroups) -> bool:
        """Whether a finite value passes the gate of a subgroup."""
        return _passes(self.better, value, group.gate)

    @property
    def direction(self) -> int:
        """1 where higher is better, else -1."""
        return 1 if self.better == "higher" else -1

    def not_worse(self, value: float, champion: float) -> bool:
        """Whether `value` is within the margin of the champion's, or better."""
        if self.better == "higher":
            return value >= champion - self.champion_margin
        return value <= champion + self.champion_margin

    @model_validator(mode="before")
    @classmethod
    def _better(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("better") is not None:
            return value
        measure = value.get("measure")
        if measure is not None and measure in get_args(Measure):
            return {**value, "better": better_of(measure)}
        if measure is None:
            raise ValueError(f"metric {value.get('name')!r} has no measure, so it needs better: higher or lower")
        return value

    @model_validator(mode="after")
    def _agrees_with_its_measure(self) -> Metric:
        for problem in metric_problems(self):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _each_column_once(self) -> Metric:
        columns = [frozenset(group.columns) for group in self.subgroups]
        if len(set(columns)) != len(columns):
            raise ValueError(f"metric {self.name!r} has two subgroup gates by the same column")
        return self


def _passes(better: str, value: float, gate: Annotated[float, Loosens.WHEN_WORSE]) -> bool:
    return value >= gate if better == "higher" else value <= gate


class Incomparable(Part):
    """The champion with which no version that has other targets can be compared; said in a pull request of its own."""

    version: Annotated[int, Field(ge=1), Loosens.WHEN_LARGER, Absent(0)]
    """The champion's version. With any other champion, this has no effect."""
    reason: Prose
    """Why its targets are not those of the versions to come. Reports of what is not compared begin with it."""


class Folds(Part):
    """Cross-validation (REP004): the model is fitted as often as there are folds of the splits `train` and
    `validation`, and measured on the rows that each holds out."""

    count: Annotated[int, Field(ge=2, le=100), Loosens.WHEN_SMALLER]
    """How many."""
    by: Annotated[Literal["time", "group"], Loosens.WHEN_CHANGED]
    """By `dataset.split.time`, fitted on what came before; or by the groups of `dataset.split.by`."""
    at: Annotated[Literal["pull-request", "release"], Loosens.WHEN_LATER_CHOICE] = "release"
    """When they are fitted."""


class Reproducibility(Part):
    """How far two trainings of the same commit may differ."""

    seeds: Annotated[tuple[int, ...], Field(min_length=1), Loosens.WHEN_ENTRY_REMOVED] = (0,)
    """Seeds to train with, for the spread of the metrics."""
    seed_at: Annotated[str, Field(pattern=r"^[^:]+\.ya?ml:[^:]+$"), Loosens.NEVER] = "params.yaml:train.seed"
    """Where the training reads its seed: YAML file, colon, key."""
    weight_tolerance: Annotated[Difference, Loosens.WHEN_LARGER] = 0.0
    """Largest difference of a weight after the same training on the same kind of machine (REP001): a number, or a
    percentage of the largest weight of its tensor, such as `0.001%`. Of zero, a percentage allows nothing."""
    record: InsidePath = "metrics/training.json"
    """The record that training writes, kept in git: `training`, rows of epoch and losses; `machine`, what it ran on."""
    retrain: Annotated[Literal["pull-request", "release"], Loosens.WHEN_LATER_CHOICE] = "pull-request"
    """When the model is trained again (REP001): in each pull request, or at the release."""
    spread: Annotated[Literal["pull-request", "release"], Loosens.WHEN_LATER_CHOICE] = "release"
    """When the model is trained with each seed (REP002)."""
    folds: Folds | None = None
    """Where a model must be good on more than one cut of its data."""

    def put_off(self, key: str) -> bool:
        """Whether `retrain`, `spread` or `folds.at` has its check wait for the release."""
        part, _, below = key.partition(".")
        value = getattr(self, part)
        return (getattr(value, below, None) if below else value) == "release"

    @model_validator(mode="after")
    def _different(self) -> Reproducibility:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("reproducibility.seeds has a seed twice")
        return self


class Budget(Part):
    """Limits of one prediction in service."""

    latency: Annotated[Seconds, Loosens.WHEN_LARGER]
    """Largest time for one row, 99th percentile."""
    memory: Annotated[float, Field(gt=0), Loosens.WHEN_LARGER]
    """Largest resident memory, MiB."""


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
