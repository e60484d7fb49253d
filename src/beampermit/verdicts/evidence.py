"""What interlocks measured, as records: an interlock builds one, and a document shows it.

Evidence decides nothing. A verdict file may come from a job that ran a pull request's code, so evidence of another
shape than its interlock's record is dropped, and the verdict stays.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from beampermit.record import Count, Number, Record

MOST = 20
"""Splits, changes and histograms of a dataset comparison that are kept, and changed limits of monitoring."""
Metrics = dict[str, Number]


class Evidence(Record):
    """Base of the records in `RECORDS`. Evidence of all other interlocks is JSON that no document reads."""


class Installs(Record):
    """What a lock installs on one platform, for one accelerator variant where it has some."""

    platform: str
    variant: str
    packages: Count
    size: Count
    """Bytes to download, of the packages whose size is known."""
    unsized: tuple[str, ...]
    """The packages whose size is not known."""
    cuda: Count
    """How many of the packages hold CUDA."""

    @property
    def machine(self) -> str:
        """Such as `linux-x86_64 with cuda`."""
        return f"{self.platform} with {self.variant}" if self.variant else self.platform


class LockChecks(Evidence):
    """ENV: `problems` are the first of `count`; the rest is what was compared."""

    problems: tuple[str, ...] = ()
    count: int = 0
    digest: str | None = None
    prefix: str | None = None
    python: str | None = None
    allowed_by: str | None = None
    indexes: tuple[str, ...] = ()
    packages: int | None = None
    requirements: int | None = None
    locks: int | None = None
    files: int | None = None
    installs: tuple[Installs, ...] = ()


class SplitRows(Record):
    """A split as its rows were checked; `signals` are those that break the contract: values and rows, counted."""

    split: str
    path: str
    rows: Count
    signals: dict[str, dict[str, Any]] = Field(default={})


class SplitChanges(Record):
    """What changed in one split: a sentence each, and histograms by signal, before and after."""

    split: str
    changes: tuple[str, ...]
    histograms: dict[str, tuple[str, str]]


def _shortened(splits: tuple[SplitChanges, ...]) -> tuple[SplitChanges, ...]:
    return tuple(
        SplitChanges(
            split=split.split,
            changes=split.changes[:MOST],
            histograms=dict(list(split.histograms.items())[:MOST]),
        )
        for split in splits[:MOST]
    )


class RowChecks(Evidence):
    """DAT004: rows of each split, and how the splits differ from the base branch's."""

    splits: tuple[SplitRows, ...] = ()
    problems: tuple[str, ...] = ()
    contract_changes: tuple[str, ...] = ()
    changes: Annotated[tuple[SplitChanges, ...], AfterValidator(_shortened)] = ()


class Gate(Record):
    """A metric of the saved model beside its gate; `by` says who computed it. None where it was not."""

    name: str
    value: Number | None
    gate: Number
    better: str
    met: bool
    by: Literal["checker", "project"]


class Gates(Evidence):
    """PRF001: the base contract's metrics, then those that the pull request adds or changes."""

    metrics: tuple[Gate, ...] = ()
    contract_changes: tuple[str, ...] = ()
    judged_by: str = ""
    rows: str = ""
    on_base_rows: Metrics | None = None

    @property
    def measured(self) -> Metrics:
        """Metrics that the checker computed; of two definitions of one name, the base contract's."""
        rows = [(row.name, row.value) for row in self.metrics if row.by == "checker"]
        return {name: value for name, value in reversed(rows) if value is not None}


class Interval(Record):
    """How much better the challenger is than the champion: on all rows, and the interval; negative is worse."""

    better: float
    low: float
    high: float


class Champion(Record):
    """The version in service, with its metrics on the pull request's data."""

    version: int
    digest: str
    metrics: Metrics


class Incomparable(Record):
    """A version whose targets are others, as the base branch's contract says with this reason."""

    version: int
    reason: str


class Comparison(Evidence):
    """PRF002: champion and challenger on the same rows; `better_by` is None for a metric without an interval.

    `incomparable` where not all of the base branch's metrics could be compared, and its contract allows that.
    """

    champion: Champion | None
    challenger: Metrics
    confidence: Number | None = None
    better_by: dict[str, Interval | None] = Field(default={})
    incomparable: Incomparable | None = None


class Subgroup(Record):
    """A metric of the rows whose columns `by` have the values `group`.

    `value` is None where the metric is undefined for them, or where they are too `few`. `required` is empty and `gate`
    None where the contract has no gate. `low` to `high` is the interval over resamples of the rows.
    """

    metric: str
    by: Annotated[tuple[str, ...], Field(min_length=1)]
    group: tuple[str, ...]
    rows: Count
    few: bool = False
    value: Number | None
    low: Number | None = None
    high: Number | None = None
    required: str = ""
    gate: Number | None = None
    met: bool | None = None

    @model_validator(mode="after")
    def _one_value_per_column(self) -> Subgroup:
        if len(self.by) != len(self.group):
            raise ValueError("each column has one value")
        return self


class Combinations(Record):
    """How many combinations of the values of the columns `by`."""

    by: tuple[str, ...]
    count: Count


class Subgroups(Evidence):
    """PRF003. Combinations that are `left_out` would be too many to measure; those of `empty` have no row."""

    subgroups: tuple[Subgroup, ...] = ()
    left_out: tuple[Combinations, ...] = ()
    empty: tuple[Combinations, ...] = ()
    confidence: Number | None = None

    @property
    def unitary(self) -> tuple[Subgroup, ...]:
        """By one column."""
        return tuple(group for group in self.subgroups if len(group.by) == 1)

    @property
    def crossed(self) -> tuple[Subgroup, ...]:
        """By several columns at once."""
        return tuple(group for group in self.subgroups if len(group.by) > 1)


Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z)?$")]
"""A day, or a time in UTC: it becomes part of a command."""
Rate = Annotated[float, Field(strict=True, ge=0)]


class AlarmRate(Record):
    """Times a week in which anything is in alarm, and between which rates they lie with 90 % confidence."""

    per_week: Rate
    low: Rate
    high: Rate


class Backtested(Record):
    """Alarms of recorded data, by the limits before and by those of the pull request."""

    since: Moment
    until: Moment
    windows: Count
    weeks: Rate
    """That were judged."""
    before: AlarmRate | None
    """None where the backtest began with other limits than the base branch's."""
    after: AlarmRate
    of_inputs: bool = False
    """Whether it counts alarms of inputs alone."""


class CountedAlarms(Record):
    """What the check counted on the record that the contract names."""

    record: str
    changed: bool
    """By the pull request itself: its author chose what is counted on."""
    found: Backtested | None
    why: str = ""
    """There is nothing."""


class LimitChange(Record):
    """Of one check and subject, such as `MON001 charge`; None on the side that has no such limit."""

    key: str
    before: Number | None
    after: Number | None
    calibrated: bool
    """From recorded data; else from the reference split."""
    looser: bool
    """By a calibration, or by taking one away: a new reference moves limits both ways."""

    @property
    def by(self) -> float | None:
        """The part by which it is wider now; negative where it is narrower."""
        return self.after / self.before - 1 if self.after is not None and self.before else None


class LimitChanges(Record):
    """Limits of monitoring that are others than on the base branch, the loosened first."""

    rows: Annotated[tuple[LimitChange, ...], Field(max_length=MOST)]
    more: Count
    """That are not among the rows."""
    backtest: Backtested | None
    """By the author's calibration: nobody else has that log."""
    counted: CountedAlarms | None = None
    """None where the contract names no record."""
    without: Literal["", "reference", "no record", "edited"]
    """Why the author's calibration says nothing: the reference alone is new, it has no alarms, or was edited after."""

    @property
    def contradicted(self) -> bool:
        """Whether the author's calibration and the check count rates that cannot both be."""
        here, there = self.counted.found if self.counted else None, self.backtest
        if not here or not there or here.of_inputs != there.of_inputs:
            return False
        return here.after.low > there.after.high or there.after.low > here.after.high

    @property
    def looser(self) -> tuple[LimitChange, ...]:
        return tuple(row for row in self.rows if row.looser)


class LimitChecks(Evidence):
    """OPS001: how many limits there are, those of recorded data among them, and what a pull request changes."""

    limits: Count = 0
    calibrated: Count = 0
    looser: tuple[str, ...] = ()
    changes: LimitChanges | None = None


RECORDS: dict[str, type[Evidence]] = {
    **dict.fromkeys(("ENV001", "ENV002", "ENV003", "ENV004", "ENV005"), LockChecks),
    "DAT004": RowChecks,
    "OPS001": LimitChecks,
    "PRF001": Gates,
    "PRF002": Comparison,
    "PRF003": Subgroups,
}
