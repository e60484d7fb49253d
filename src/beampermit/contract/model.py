"""The models behind `contract.yaml`. Descriptions here are what an editor shows, through the JSON schema."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from beampermit.contract.part import InsidePath, Name, Part, Seconds, Span, Text, Version
from beampermit.contract.request import Request

Severity = Literal["MINOR", "MAJOR", "INVALID"]
MOST_CROSSED = 3
"""Columns whose combinations are groups: of more, each has a handful of rows."""


def _mail(value: str) -> str:
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>]+", value):
        raise ValueError("this is not an e-mail address")
    return value


class Owner(Part):
    """A person who answers for the model."""

    name: Text
    email: Annotated[str, AfterValidator(_mail)]
    """Where the owner is reached; two owners have different ones (DOC001)."""
    role: Text = "maintainer"
    """What the owner does for the model."""


class Use(Part):
    """What the model is for, and what it is not for."""

    intended: Text
    """What the model is for."""
    out_of_scope: Text
    """What it must not be used for."""
    limitations: tuple[Text, ...] = Field(min_length=1)
    """What is known to go wrong; at least one."""
    users: Text | None = None
    """Who works with its answers, for the card (DOC002)."""
    factors: tuple[Text, ...] = ()
    """What changes how well it does: groups of devices, states of the machine, instruments; for the card (DOC002)."""
    considerations: tuple[Text, ...] = ()
    """Ethical considerations: who could be harmed by a wrong answer, and how; for the card (DOC002)."""
    caveats: tuple[Text, ...] = ()
    """What a user should know besides, and what the owners recommend; for the card (DOC002)."""


class Model(Part):
    """Who the model is and where its saved form lies."""

    name: Name
    summary: Text
    """One line for the inventory, the card and the operator."""
    kind: Text | None = None
    """What kind of model it is, and how it is trained; for the card (DOC002)."""
    references: tuple[Text, ...] = ()
    """Papers and other resources, for the card."""
    owners: tuple[Owner, ...] = Field(min_length=1)
    """Who answers for the model."""
    use: Use
    review_by: date
    """The day by which the owners look at the model again (DOC004)."""
    path: InsidePath = "model"
    """The folder of the saved model: an MLflow pyfunc directory."""
    manifest: InsidePath = "manifest.json"
    """sha256 of each file of the saved model and of the dataset; kept in git."""


class Environment(Part):
    """Where the model's software comes from."""

    backend: Literal["uv", "conda-lock"] = "uv"
    """What makes and reads the lock."""
    platforms: tuple[str, ...] = Field(default=("linux-x86_64",), min_length=1)
    """Platforms that the lock must cover."""
    accelerators: tuple[Literal["cpu", "cuda"], ...] = Field(default=("cpu",), min_length=1)
    """Variants that the lock must cover."""
    indexes: tuple[str, ...] = ()
    """Package indexes or channels the lock may name; `beampermit env lock --record` writes those it used."""


class Gpu(Part):
    """The least GPU that the tests marked `gpu` are to pass on."""

    capability: Version
    """Compute capability, such as "7.0"."""
    driver: Version | None = None
    """Version of the driver, such as "535"."""
    memory: Annotated[float, Field(gt=0)] | None = None
    """MiB in all."""


class Tests(Part):
    """What tests need of the machine."""

    gpu: Gpu | None = None
    """Absent, the project promises nothing on a GPU, and no test may be marked `gpu` (TST003)."""


class Signal(Part):
    """One input or output of the model."""

    name: Name
    source: Literal["pv", "derived", "constant"] = "pv"
    """Read from a PV, computed from others, or frozen in training."""
    pv: Text | None = None
    """The PV's name; `{device}` and other columns of the device table may stand in it."""
    value: float | None = None
    """The value of a `constant`."""
    shape: tuple[Annotated[int, Field(gt=0)], ...] = ()
    """Of one row; empty for a scalar."""
    unit: Text
    """EGU; `1` for a pure number."""
    description: str = ""
    range: Span
    """DRVL and DRVH: outside, the value is not physics."""
    expected: Span | None = None
    """LOW and HIGH: outside, a MINOR alarm."""
    stale_after: Seconds | None = None
    """Older than this, an input is INVALID."""
    low: float | None = None
    """LOW: below, a MINOR alarm."""
    high: float | None = None
    """HIGH: above, a MINOR alarm."""
    lolo: float | None = None
    """LOLO: below, a MAJOR alarm."""
    hihi: float | None = None
    """HIHI: above, a MAJOR alarm."""
    default: float | None = None
    """Served when nothing better is known."""

    @model_validator(mode="after")
    def _consistent(self) -> Signal:
        if self.source == "pv" and not self.pv:
            raise ValueError(f"signal {self.name!r} has source pv and no pv")
        if self.source == "constant" and self.value is None:
            raise ValueError(f"signal {self.name!r} is constant and has no value")
        for key, span in (("range", self.range), ("expected", self.expected)):
            if span and span[0] >= span[1]:
                raise ValueError(f"signal {self.name!r}: {key} [{span[0]:g}, {span[1]:g}] is empty or reversed")
        lowest, highest = self.range
        for key in ("default", "value", "low", "high", "lolo", "hihi"):
            number = getattr(self, key)
            if number is not None and not lowest <= number <= highest:
                where = f"outside its range [{lowest:g}, {highest:g}]"
                raise ValueError(f"signal {self.name!r}: {key} {number:g} is {where}")
        limits = [limit for limit in (self.lolo, self.low, self.high, self.hihi) if limit is not None]
        if limits != sorted(limits):
            raise ValueError(f"signal {self.name!r}: alarm limits must rise: lolo, low, high, hihi")
        return self


class Signals(Part):
    """What goes in and what comes out."""

    inputs: tuple[Signal, ...] = Field(min_length=1)
    """In the order of the model's signature."""
    outputs: tuple[Signal, ...] = Field(min_length=1)
    """In the order of the model's signature."""
    devices: InsidePath | None = None
    """A CSV table whose columns fill the names of PVs."""

    @model_validator(mode="after")
    def _different(self) -> Signals:
        names = [signal.name for signal in (*self.inputs, *self.outputs)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two signals are called {twice[0]!r}")
        return self


class Split(Part):
    """What the splits must not share."""

    by: tuple[str, ...] = Field(min_length=1)
    """Columns whose values belong to one split alone."""
    time: str | None = None
    """Column of time: the splits' spans must not overlap."""


class About(Part):
    """What a reader of the datasheet asks first, and no table can answer (DAT007)."""

    purpose: Text
    """What the data were gathered for."""
    collected: Text
    """How they came to be: which machine, which conditions, what was left out."""
    limitations: tuple[Text, ...] = Field(min_length=1)
    """What they do not show; at least one."""
    terms: Text
    """Who may use them, and on what terms."""


class Review(Part):
    """What people say of single rows; it counts more than what rules say."""

    file: InsidePath
    """A CSV table in git, by `beampermit data label`: key, `column`, labelled_by, labelled_at, why, confidence."""
    column: str
    """The column of labels that people fill."""
    values: tuple[Text, ...] = Field(min_length=1)
    """What may be said, in the order of the keys on the page."""

    @model_validator(mode="after")
    def _different(self) -> Review:
        if len(set(self.values)) != len(self.values):
            raise ValueError("review.values names one twice")
        return self


class Dataset(Part):
    """The data: asked for, labelled, divided."""

    request: Request
    raw: InsidePath
    """The table that the request brought."""
    labels: InsidePath
    """The table of labels: key, `target`, and of each row labelled_by, labelled_at, why."""
    splits: dict[Name, InsidePath] = Field(min_length=2)
    """Name of a split -> its Parquet file; `test` is the one that metrics are judged on."""
    key: tuple[str, ...] = Field(min_length=1)
    """Columns that together name one row."""
    target: str
    """Column that the model learns."""
    split: Split
    lineage: InsidePath = "data/dataset.json"
    """Parents, code and parameters that the splits were made from, with their sha256; made by the pipeline, in git."""
    about: About | None = None
    """For the datasheet."""
    review: Review | None = None
    """Labels by people."""

    @model_validator(mode="after")
    def _has_test(self) -> Dataset:
        if "test" not in self.splits or "train" not in self.splits:
            raise ValueError("splits must name at least train and test")
        return self


class Evaluation(Part):
    """How a model is judged: its scores on the inputs, made into metrics by the project's own code."""

    metrics: InsidePath = "metrics/metrics.json"
    """Name -> number, made by the pipeline."""
    plots: InsidePath = "metrics/plots.json"
    """Curves and counts for report and card."""
    inputs: InsidePath
    """Parquet whose columns of the contract's inputs are given to the saved model."""
    about: Text | None = None
    """Why these data, and what was done to them before; for the card (DOC002)."""
    scores: InsidePath | None = None
    """Parquet of what the training's own code gave for the rows of `inputs`, in their order, made by the pipeline and
    listed in the manifest: what the saved model gives must be the same (MDL005, and the test deployment)."""
    score_tolerance: Annotated[float, Field(ge=0)] = 1e-4
    """How far apart two scores of one row may be: by training and when served, in a batch and alone."""
    command: tuple[str, ...] = Field(min_length=1)
    """Makes metrics from scores: `{inputs}`, `{scores}` and `{out}` are replaced by paths."""
    weighted: tuple[str, ...] = ()
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

    by: Annotated[str | tuple[str, ...], BeforeValidator(_columns)]
    """A column of the evaluation's inputs, or of the device table. Of two or three in a list, each combination of their
    values is a group: `[plane, family]`."""
    gate: float
    """As the metric's own gate."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What `by` names."""
        return (self.by,) if isinstance(self.by, str) else self.by


class Metric(Part):
    """A number, and the gate it must pass."""

    name: Name
    better: Literal["higher", "lower"]
    """Which way is better."""
    gate: float
    """The metric is at least (higher) or at most (lower) this."""
    champion_margin: Annotated[float, Field(ge=0)] = 0.0
    """How much worse than the champion is still called not worse."""
    subgroups: tuple[Subgroups, ...] = ()
    """Gates of groups of rows, such as each plane or each family of devices (PRF003); where two columns have one, their
    combinations are measured too."""
    description: str = ""

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


def _passes(better: str, value: float, gate: float) -> bool:
    return value >= gate if better == "higher" else value <= gate


class Reproducibility(Part):
    """How equal two trainings of the same thing must be."""

    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Seeds whose spread is looked at."""
    seed_at: Annotated[str, Field(pattern=r"^[^:]+\.ya?ml:[^:]+$")] = "params.yaml:train.seed"
    """Where the seed of the training stands: a YAML file, a colon, the key."""
    metric_tolerance: Annotated[float, Field(ge=0)]
    """How far two evaluations of the same model may differ, and the gated metrics after the same training."""
    weight_tolerance: Annotated[float, Field(ge=0)] = 0.0
    """How far weights may differ after the same training on the same kind of machine."""
    prediction_tolerance: Annotated[float, Field(ge=0)] | None = None
    """How far predictions on the evaluation's inputs may differ after the same training; shown only where absent."""
    seed_tolerance: Annotated[float, Field(ge=0)] | None = None
    """How far the gated metrics may spread over the seeds; `metric_tolerance` where absent."""
    record: InsidePath = "metrics/training.json"
    """What training says of itself, in git: `training`, rows of epoch and loss; `machine`, what it ran on."""
    retrain: Literal["pull-request", "release"] = "pull-request"
    """When a model is trained again (REP001): from the pull request on, or when it is released."""
    spread: Literal["pull-request", "release"] = "release"
    """When it is trained with each of the seeds (REP002)."""

    @model_validator(mode="after")
    def _different(self) -> Reproducibility:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("reproducibility.seeds names one twice")
        return self


class Budget(Part):
    """What a prediction may cost where the model serves."""

    latency: Seconds
    """At most this for one row, 99th percentile."""
    memory: Annotated[float, Field(gt=0)]
    """At most this much, MiB resident."""


class Monitoring(Part):
    """When a model in service has left what it knows."""

    limits: InsidePath = "metrics/limits.json"
    """Made by the pipeline from the reference split."""
    reference: Name = "validation"
    """The split that limits are made from."""
    window: Seconds = 3600.0
    """Length of the live data that are compared."""
    every: Seconds = 600.0
    """How often they are compared."""
    on_trip: Literal["issue", "propose-limits", "retrain"] = "issue"
    """What a trip starts."""


class Fallback(Part):
    """What is served when the model cannot answer."""

    on_invalid: Literal["hold", "default", "invalid"] = "invalid"
    """Served at once."""
    hold_for: Seconds | None = None
    """How long the last good value is held; then it is not true any more."""
    then: Literal["default", "invalid"] = "invalid"
    """Served after that."""

    @model_validator(mode="after")
    def _bounded(self) -> Fallback:
        if self.on_invalid == "hold" and self.hold_for is None:
            raise ValueError("on_invalid hold needs hold_for: a value held for ever is not true")
        return self


class Alarm(Part):
    """An alarm, and what the operator does."""

    condition: Text
    """When the alarm is on."""
    raised_by: tuple[Text, ...] = ()
    """What raises it: `OUTPUT.lolo`, `.low`, `.high`, `.hihi` or `.invalid`, `INPUT.stale`, `drift` (DOC003)."""
    severity: Severity
    """EPICS severity."""
    meaning: Text
    """What it says about the machine."""
    action: tuple[Text, ...] = Field(min_length=1)
    """What the operator does, in order."""


class Operations(Part):
    """For the operator at 3 A.M."""

    on_call: Text
    """Whom to call."""
    logbook: Text
    """Where it is written down."""
    category: Text | None = None
    """The laboratory's category of these alarms, for JAWS; the model's name where absent."""
    locations: tuple[Text, ...] = ()
    """The laboratory's names of where they belong, for JAWS."""
    alarms: tuple[Alarm, ...] = Field(min_length=1)
    """Every alarm that the model can raise."""


class Contract(Part):
    """What a model promises."""

    beampermit: Literal[1]
    """Version of this format."""
    model: Model
    environment: Environment = Environment()
    tests: Tests = Tests()
    signals: Signals
    dataset: Dataset
    evaluation: Evaluation
    metrics: tuple[Metric, ...] = Field(min_length=1)
    reproducibility: Reproducibility
    budget: Budget
    monitoring: Monitoring
    fallback: Fallback
    operations: Operations

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) != len(names):
            raise ValueError("two metrics have the same name")
        if self.tests.gpu and "cuda" not in self.environment.accelerators:
            raise ValueError("tests.gpu asks for a GPU, and environment.accelerators has no cuda to run them with")
        if not self.evaluation.weighted and any(metric.subgroups for metric in self.metrics):
            raise ValueError("a metric has gates of subgroups, and evaluation.weighted names no command to judge them")
        if self.monitoring.reference not in self.dataset.splits:
            raise ValueError(f"monitoring.reference {self.monitoring.reference!r} is no split of the dataset")
        self.dataset.request.resolved(self.signals.inputs)
        if self.fallback.on_invalid == "default" or self.fallback.then == "default":
            without = [signal.name for signal in self.signals.outputs if signal.default is None]
            if without:
                raise ValueError(f"the fallback serves a default and output {without[0]!r} has none")
        return self
