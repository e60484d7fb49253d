"""The dataset: request, labels, splits, and what only people know about it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from beampermit.contract.direction import Loosens
from beampermit.contract.part import InsidePath, Lines, Name, Part, Prose, Span, Text
from beampermit.contract.request import Request


class Split(Part):
    """How rows are split."""

    by: Annotated[tuple[str, ...], Loosens.WHEN_ENTRY_REMOVED] = Field(min_length=1)
    """Columns whose values must each be in one split only."""
    time: Annotated[str | None, Loosens.WHEN_REMOVED] = None
    """Column of time in which the splits must not overlap."""


class About(Part):
    """What the datasheet needs and only people know (DAT007)."""

    purpose: Prose
    """What the data were collected for."""
    collected: Prose
    """How they were collected: machine, conditions, what was left out."""
    limitations: Lines = Field(min_length=1)
    """Known limitations; at least one."""
    terms: Prose
    """Terms of use."""


class Review(Part):
    """Labels that people give to single rows; they overrule labels by rules."""

    file: Annotated[InsidePath, Loosens.WHEN_REMOVED]
    """A CSV table in git, by `beampermit data label`: key, `column`, labelled_by, labelled_at, why, confidence."""
    column: Annotated[str, Loosens.NEVER]
    """The column that people label."""
    values: Annotated[tuple[Text, ...], Loosens.NEVER] = Field(min_length=1)
    """Allowed labels, in the order of their keys on the labelling page."""

    @model_validator(mode="after")
    def _different(self) -> Review:
        if len(set(self.values)) != len(self.values):
            raise ValueError("review.values has a value twice")
        return self


def _as_text(value: Any) -> Any:
    """Whole numbers and true and false as tables have them in text; whoever lists them need not quote them."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


class Column(Part):
    """A column of the splits that is not an input: a target, or one that rows are grouped by. It needs no PV."""

    name: Annotated[Text, Loosens.NEVER]
    """Its name in the splits."""
    values: Annotated[tuple[Annotated[Text, BeforeValidator(_as_text)], ...], Loosens.WHEN_CHANGED] = ()
    """Allowed values of a column of text, of whole numbers or of booleans."""
    shape: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Loosens.NEVER] = ()
    """Shape of one row; empty for a number."""
    unit: Annotated[Text | None, Loosens.NEVER] = None
    """EGU of numbers; `1` if dimensionless."""
    range: Annotated[Span | None, Loosens.WHEN_WIDER] = None
    """Numbers outside are not physical; where absent, they must be finite."""

    @model_validator(mode="after")
    def _consistent(self) -> Column:
        if self.values and (self.range or self.unit or self.shape):
            raise ValueError(f"column {self.name!r} has values, so it has no range, unit or shape")
        if len(set(self.values)) != len(self.values):
            raise ValueError(f"column {self.name!r} has a value twice")
        if self.range and self.range[0] >= self.range[1]:
            raise ValueError(f"column {self.name!r}: range [{self.range[0]:g}, {self.range[1]:g}] is empty or reversed")
        return self


class Dataset(Part):
    """Request, labels and splits."""

    request: Request
    raw: InsidePath
    """The table that the request returned."""
    labels: Annotated[InsidePath | None, Loosens.WHEN_REMOVED] = None
    """The table of labels: key, `target`, and for each row labelled_by, labelled_at, why (DAT006). Only where somebody
    or something labels: what is measured or simulated, or reconstructed, has none."""
    splits: Annotated[dict[Name, InsidePath], Loosens.WHEN_CHANGED] = Field(min_length=2)
    """Name of a split -> its Parquet file; metrics are computed on `test`."""
    key: Annotated[tuple[str, ...], Loosens.WHEN_CHANGED] = Field(min_length=1)
    """Columns that together identify a row."""
    target: Annotated[str | None, Loosens.WHEN_CHANGED] = None
    """Column that the model learns to predict; none where it learns without."""
    columns: tuple[Column, ...] = ()
    """What targets and other columns of the splits hold (DAT004); an output's `target` is in its unit and range."""
    split: Split
    lineage: InsidePath = "data/dataset.json"
    """Parents, code and parameters of the splits, with their sha256; written by the pipeline, kept in git."""
    about: About | None = None
    """For the datasheet."""
    review: Review | None = None
    """Labels by people."""
    in_git: Annotated[dict[InsidePath, Prose] | None, Loosens.WHEN_ENTRY_ADDED] = None
    """Path of a small file of data that git may hold, such as a test's -> the reason (DAT008)."""

    @model_validator(mode="after")
    def _has_test(self) -> Dataset:
        if "test" not in self.splits or "train" not in self.splits:
            raise ValueError("splits must name at least train and test")
        if self.labels and not self.target:
            raise ValueError("dataset.labels is a table with the column dataset.target, which is missing")
        if self.review and not self.labels:
            raise ValueError("dataset.review overrules labels, but there is no dataset.labels")
        names = [column.name for column in self.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two columns are called {twice[0]!r}")
        return self
