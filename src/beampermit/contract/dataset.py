"""The data: asked for, labelled, divided, and what only a person knows of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from beampermit.contract.direction import Loosens
from beampermit.contract.part import InsidePath, Lines, Name, Part, Prose, Text
from beampermit.contract.request import Request


class Split(Part):
    """What the splits must not share."""

    by: Annotated[tuple[str, ...], Loosens.WHEN_ENTRY_REMOVED] = Field(min_length=1)
    """Columns whose values belong to one split alone."""
    time: Annotated[str | None, Loosens.WHEN_REMOVED] = None
    """Column of time: the splits' spans must not overlap."""


class About(Part):
    """What a reader of the datasheet asks first, and no table can answer (DAT007)."""

    purpose: Prose
    """What the data were gathered for."""
    collected: Prose
    """How they came to be: which machine, which conditions, what was left out."""
    limitations: Lines = Field(min_length=1)
    """What they do not show; at least one."""
    terms: Prose
    """Who may use them, and on what terms."""


class Review(Part):
    """What people say of single rows; it counts more than what rules say."""

    file: Annotated[InsidePath, Loosens.WHEN_REMOVED]
    """A CSV table in git, by `beampermit data label`: key, `column`, labelled_by, labelled_at, why, confidence."""
    column: Annotated[str, Loosens.NEVER]
    """The column of labels that people fill."""
    values: Annotated[tuple[Text, ...], Loosens.NEVER] = Field(min_length=1)
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
    splits: Annotated[dict[Name, InsidePath], Loosens.NEVER] = Field(min_length=2)
    """Name of a split -> its Parquet file; `test` is the one that metrics are judged on."""
    key: Annotated[tuple[str, ...], Loosens.NEVER] = Field(min_length=1)
    """Columns that together name one row."""
    target: Annotated[str, Loosens.NEVER]
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
