"""How a model is judged: evaluation, metrics and their gates, how equal two trainings must be, what it may cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from beampermit.contract.direction import Absent, Loosens
from beampermit.contract.part import InsidePath, Name, Part, Seconds, Text

MOST_CROSSED = 3
"""Columns whose combinations are groups: of more, each has a handful of rows."""


class Evaluation(Part):
    """How a model is judged: its scores on the inputs, made into metrics by the project's own code."""

    metrics: InsidePath = "metrics/metrics.json"
    """Name -> number, made by the pipeline."""
    plots: InsidePath = "metrics/plots.json"
    """Curves and counts for report and card."""
    inputs: InsidePath
    """Parquet whose columns of the contract's inputs are given to the saved model."""
    about: Annotated[Text | None, Loosens.INFORMS] = None
    """Why these data, and what was done to them before; for the card (DOC002)."""
    scores: Annotated[InsidePath | None, Loosens.WHEN_REMOVED] = None
    """Parquet of what the training's own code gave for the rows of `inputs`, in their order, made by the pipeline and
    listed in the manifest: what the saved model gives must be the same (MDL005, and the test deployment)."""
    score_tolerance: Annotated[float, Field(ge=0), Loosens.WHEN_LARGER] = 1e-4
    """How far apart two scores of one row may be: by training and when served, in a batch and alone."""
    command: Annotated[tuple[str, ...], Loosens.NEVER] = Field(min_length=1)
    """Makes metrics from scores: `{inputs}`, `{scores}` and `{out}` are replaced by paths."""
    weighted: Annotated[tuple[str, ...], Loosens.WHEN_REMOVED] = ()
    """The same many times over: `{counts}` is an .npy array (times, rows) of how often each row counts; `{out}` becomes
    name -> a number for each time, null where it has no meaning. Needed for intervals and for gates of subgroups."""


def _columns(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not 1 <= len(names) <= MOST_CROSSED:
        raise ValueError(f"this is one column, or a list of at most {MOST_CROSSED}")
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise ValueError("each of these is the name of another column")
    return value


class Subgroups(Part):
    """A gate that each group of the evaluation's rows must pass by itself; one of fewer than 10 rows passes none."""

    by: Annotated[str | tuple[str, ...], BeforeValidator(_columns), Loosens.WHEN_REMOVED]
    """A column of the evaluation's inputs, or of the device table. Of two or three in a list, each combination of their
    values is a group: `[plane, family]`."""
    gate: Annotated[float, Loosens.WHEN_WORSE]
    """As the metric's own gate."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What `by` names."""
        return (self.by,) if isinstance(self.by, str) else self.by


class Metric(Part):
    """A number, and the gate it must pass."""

    name: Name
    better: Annotated[Literal["higher", "lower"], Loosens.WHEN_CHANGED]
    """Which way is better."""
    gate: Annotated[float, Loosens.WHEN_WORSE]
    """The metric is at least (higher) or at most (lower) this."""
    champion_margin: Annotated[float, Field(ge=0), Loosens.WHEN_LARGER] = 0.0
    """How much worse than the champion is still called not worse."""
    subgroups: tuple[Subgroups, ...] = ()
    """Gates of groups of rows, such as each plane or each family of devices (PRF003); where two columns have one, their
    combinations are measured too."""
    description: Annotated[str, Loosens.INFORMS] = ""

    def met(self, value: float) -> bool:
        """Whether a finite value passes the gate; the caller has refused NaN and infinities."""
        return _passes(self.better, value, self.gate)

    def met_by_group(self, value: float, group: Subgroups) -> bool:
        """Whether a finite value passes the gate of a subgroup."""
        return _passes(self.better, value, group.gate)

    @property
    def direction(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.better == "higher" else -1

    def not_worse(self, value: float, champion: float) -> bool:
        """Whether `value` is within the margin of the champion's, or better."""
        if self.better == "higher":
            return value >= champion - self.champion_margin
        return value <= champion + self.champion_margin

    @model_validator(mode="after")
    def _each_column_once(self) -> Metric:
        columns = [frozenset(group.columns) for group in self.subgroups]
        if len(set(columns)) != len(columns):
            raise ValueError(f"metric {self.name!r} has two gates of subgroups by the same column")
        return self


def _passes(better: str, value: float, gate: Annotated[float, Loosens.WHEN_WORSE]) -> bool:
    return value >= gate if better == "higher" else value <= gate


class Reproducibility(Part):
    """How equal two trainings of the same thing must be."""

    seeds: Annotated[tuple[int, ...], Field(min_length=1), Loosens.WHEN_ENTRY_REMOVED] = (0,)
    """Seeds whose spread is looked at."""
    seed_at: Annotated[str, Field(pattern=r"^[^:]+\.ya?ml:[^:]+$"), Loosens.NEVER] = "params.yaml:train.seed"
    """Where the seed of the training stands: a YAML file, a colon, the key."""
    metric_tolerance: Annotated[float, Field(ge=0), Loosens.WHEN_LARGER]
    """How far two evaluations of the same model may differ, and the gated metrics after the same training."""
    weight_tolerance: Annotated[float, Field(ge=0), Loosens.WHEN_LARGER] = 0.0
    """How far weights may differ after the same training on the same kind of machine."""
    prediction_tolerance: Annotated[float | None, Field(ge=0), Loosens.WHEN_LARGER] = None
    """How far predictions on the evaluation's inputs may differ after the same training; shown only where absent."""
    seed_tolerance: Annotated[float | None, Field(ge=0), Loosens.WHEN_LARGER, Absent("metric_tolerance")] = None
    """How far the gated metrics may spread over the seeds; `metric_tolerance` where absent."""
    record: InsidePath = "metrics/training.json"
    """What training says of itself, in git: `training`, rows of epoch and loss; `machine`, what it ran on."""
    retrain: Annotated[Literal["pull-request", "release"], Loosens.WHEN_LATER_CHOICE] = "pull-request"
    """When a model is trained again (REP001): from the pull request on, or when it is released."""
    spread: Annotated[Literal["pull-request", "release"], Loosens.WHEN_LATER_CHOICE] = "release"
    """When it is trained with each of the seeds (REP002)."""

    @model_validator(mode="after")
    def _different(self) -> Reproducibility:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("reproducibility.seeds names one twice")
        return self


class Budget(Part):
    """What a prediction may cost where the model serves."""

    latency: Annotated[Seconds, Loosens.WHEN_LARGER]
    """At most this for one row, 99th percentile."""
    memory: Annotated[float, Field(gt=0), Loosens.WHEN_LARGER]
    """At most this much, MiB resident."""
