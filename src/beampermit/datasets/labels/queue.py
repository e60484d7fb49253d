"""The rows that a person labels, with their labels so far, and how a new annotation is stored."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.dataset import Dataset, Review
from beampermit.datasets.labels.annotations import (
    CONFIDENCE,
    WHO,
    WHY,
    Annotation,
    append_annotation,
    latest_annotations,
    read_annotations,
)
from beampermit.datasets.labels.review import SOURCE
from beampermit.datasets.pull import way_to_get
from beampermit.datasets.tables import Table, open_tables, quoted
from beampermit.errors import BadInput, Failed
from beampermit.project import Project

MOST = 50_000
"""Rows of one batch; those whose labels are least certain are in the first."""
AT_ONCE = 64
LONGEST = 2000
"""Characters of a comment."""


@dataclass(frozen=True)
class Row:
    """One row: its number in the file, its key, and its label in the label table."""

    number: int
    key: tuple[str, ...]
    value: str
    by: str
    why: str
    confidence: float | None


class Queue:
    """The rows of one table, for one person; safe to use from several threads."""

    def __init__(
        self,
        project: Project,
        contract: Contract,
        review: Review,
        table: Table,
        rows: list[Row],
        who: str,
        batch: int,
    ):
        self._project = project
        self._dataset: Dataset = contract.dataset
        self._review = review
        self._table = table
        self._signals = [signal for signal in contract.signals.inputs if signal.name in table.columns]
        self._rows = {row.number: row for row in rows}
        self._lock = threading.Lock()
        self.who = who
        self.title = contract.model.name
        self.batch = batch
        (self.total,) = table.query(f"SELECT count(*) FROM {table.source}")[0]

    @classmethod
    def of(cls, project: Project, split: str, who: str | None, batch: int = 1) -> Queue:
        """The queue of `raw` or a split, for `who` (git's user.name if not given); batches are numbered from 1.

        Raises `BadInput` if the contract has no `dataset.review`, nobody is named or there is no such batch; `Failed`
        if data are missing.
        """
        contract = project.contract
        review = contract.dataset.review
        if review is None:
            raise BadInput("labelling needs dataset.review, which the contract does not have", file=FILE_NAME)
        tables = {"raw": contract.dataset.raw, **contract.dataset.splits}
        if split not in tables:
            raise BadInput(
                f"there is no table {split!r}; there are {', '.join(tables)}", hint="beampermit data label --table raw"
            )
        person = who or project.git.try_("config", "user.name").out
        person = " ".join(person.split())
        if not person:
            raise BadInput("git has no user.name: say who labels", hint='beampermit data label --as "Your Name"')
        named = {"rows": tables[split], "labels": contract.dataset.labels}
        if not project.path(named["rows"]).is_file():
            raise Failed(f"{named['rows']} is missing", hint=way_to_get(project, named["rows"]))
        if not project.path(named["labels"]).is_file():
            del named["labels"]
        opened = {table.split: table for table in open_tables(project.root, named)}
        read_annotations(project.root, contract.dataset, review)  # refuse a broken file before anybody labels
        rows = _rows(opened["rows"], opened.get("labels"), contract.dataset, review, batch)
        if not rows and batch > 1:
            raise BadInput(f"{split} has no batch {batch}", hint="beampermit data label")
        return cls(project, contract, review, opened["rows"], rows, person, batch)

    @property
    def batch_note(self) -> str:
        """Which rows these are; empty if they are all."""
        if self.total <= len(self._rows):
            return ""
        first = (self.batch - 1) * MOST
        last = first + len(self._rows)
        more = f"; --batch {self.batch + 1} has the next" if last < self.total else ""
        return f"batch {self.batch}, rows {first + 1:,} to {last:,} of {self.total:,}, least certain first{more}"

    @property
    def file(self) -> str:
        """The file of annotations, relative to the project."""
        return self._review.file

    def state(self) -> dict[str, Any]:
        """Everything but the signals: the allowed values, and each row with everybody's latest annotations."""
        latest = latest_annotations(self._annotations())
        return {
            "title": self.title,
            "who": self.who,
            "file": self.file,
            "column": self._review.column,
            "values": list(self._review.values),
            "key": list(self._dataset.key),
            "batch": self.batch_note,
            "rows": [
                {
                    "row": row.number,
                    "key": list(row.key),
                    "rule": {"value": row.value, "by": row.by, "why": row.why, "confidence": row.confidence},
                    "annotations": [annotation.as_json() for annotation in latest.get(row.key, ())],
                }
                for row in self._rows.values()
            ],
        }

    def signals(self, numbers: list[int]) -> dict[str, Any]:
        """Row -> signal -> unit, range and values; values that are not finite are null."""
        known = [number for number in numbers[:AT_ONCE] if number in self._rows]
        if not known or not self._signals:
            return {}
        listed = ", ".join(quoted(signal.name) for signal in self._signals)
        sql = f"SELECT file_row_number, {listed} FROM {self._table.numbered}"
        with self._lock:
            rows = self._table.query(f"{sql} WHERE file_row_number IN ({', '.join(map(str, known))})")
        return {
            str(number): {
                signal.name: {"unit": signal.unit, "range": list(signal.range), "values": _finite(value)}
                for signal, value in zip(self._signals, values, strict=True)
            }
            for number, *values in rows
        }

    def annotate(self, number: int, value: str, why: str, confidence: float) -> list[dict[str, object]]:
        """Store this person's annotation of a row; return everybody's latest ones. Raises `BadInput`."""
        row = self._rows.get(number)
        if row is None:
            raise BadInput(f"there is no row {number}")
        annotation = Annotation(row.key, value, self.who, datetime.now(UTC), why[:LONGEST], confidence)
        with self._lock:
            append_annotation(self._project.root, self._dataset, self._review, annotation)
        return [latest.as_json() for latest in latest_annotations(self._annotations()).get(row.key, ())]

    def _annotations(self) -> tuple[Annotation, ...]:
        return read_annotations(self._project.root, self._dataset, self._review)


def _rows(table: Table, labels: Table | None, dataset: Dataset, review: Review, batch: int) -> list[Row]:
    limit = f"LIMIT {MOST} OFFSET {(batch - 1) * MOST}"
    missing = [column for column in dataset.key if column not in table.columns]
    if missing:
        raise Failed(f"there is no column {missing[0]!r}", file=table.path)
    keys = ", ".join(f"CAST(signal.{quoted(column)} AS VARCHAR)" for column in dataset.key)
    if labels is None or any(column not in labels.columns for column in (*dataset.key, review.column)):
        select = f"SELECT signal.file_row_number, '', '', '', NULL, {keys} FROM {table.numbered} AS signal"
        return [_queue_row(values) for values in table.query(f"{select} ORDER BY 1 {limit}")]
    same = " AND ".join(
        f"CAST(label.{quoted(column)} AS VARCHAR) = CAST(signal.{quoted(column)} AS VARCHAR)" for column in dataset.key
    )
    value = f"CAST(label.{quoted(review.column)} AS VARCHAR)"
    by = next((column for column in (SOURCE, WHO) if column in labels.columns), None)
    columns = [
        f"CAST(label.{quoted(column)} AS VARCHAR)" if column in labels.columns else "''" for column in (by or WHO, WHY)
    ]
    confidence = f"CAST(label.{quoted(CONFIDENCE)} AS DOUBLE)" if CONFIDENCE in labels.columns else "NULL"
    sql = (
        f"SELECT signal.file_row_number, {value}, {columns[0]}, {columns[1]}, {confidence} AS confidence, {keys}"
        f" FROM {table.numbered} AS signal LEFT JOIN {labels.source} AS label ON {same}"
        f" ORDER BY confidence NULLS FIRST, 1 {limit}"
    )
    return [_queue_row(values) for values in table.query(sql)]


def _queue_row(values: tuple[Any, ...]) -> Row:
    number, value, by, why, confidence, *key = values
    confidence = confidence if confidence is not None and math.isfinite(confidence) else None
    return Row(number, tuple(map(str, key)), value or "", by or "", why or "", confidence)


def _finite(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
