"""The rows that people look at, with what is said of them so far; and the way by which a person's word is kept."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.dataset import Dataset, Review
from beampermit.datasets.labels.annotations import CONFIDENCE, WHO, WHY, Annotation, append_annotation, latest_annotations, read_annotations
from beampermit.datasets.labels.review import SOURCE
from beampermit.datasets.tables import Table, open_tables, quoted
from beampermit.errors import BadInput, Failed
from beampermit.project import Project

MOST = 50_000
"""Rows of one sitting: those whose labels are least sure come in the first one."""
AT_ONCE = 64
LONGEST = 2000
"""Characters of a reason."""


@dataclass(frozen=True)
class Row:
    """One row: its number in the file, its key, and what rules say."""

    number: int
    key: tuple[str, ...]
    value: str
    by: str
    why: str
    confidence: float | None


class Queue:
    """The rows of one table, for one person. Safe to ask from several threads."""

    def __init__(
        self,
        project: Project,
        contract: Contract,
        review: Review,
        table: Table,
        rows: list[Row],
        who: str,
        sitting: int,
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
        self.sitting = sitting
        (self.total,) = table.query(f"SELECT count(*) FROM {table.source}")[0]

    @classmethod
    def of(cls, project: Project, split: str, who: str | None, sitting: int = 1) -> Queue:
        """The queue of `raw` or a split, for `who` (git's user.name if not given): `MOST` rows, of a sitting from 1.

        Raises `BadInput` where the contract asks for no review, nobody is named or there is no such sitting, `Failed`
        where data are missing.
        """
        contract = project.contract
        review = contract.dataset.review
        if review is None:
            raise BadInput("the contract does not say what people may say of rows: dataset.review", file=FILE_NAME)
        tables = {"raw": contract.dataset.raw, **contract.dataset.splits}
        if split not in tables:
            raise BadInput(f"{split!r} is none of {', '.join(tables)}", hint="beampermit data label --table raw")
        person = who or project.git.try_("config", "user.name").out
        person = " ".join(person.split())
        if not person:
            raise BadInput("nobody says who labels", hint='beampermit data label --as "Your Name"')
        named = {"rows": tables[split], "labels": contract.dataset.labels}
        if not project.path(named["rows"]).is_file():
            raise Failed(f"{named['rows']} is not here", hint="beampermit data pull")
        if not project.path(named["labels"]).is_file():
            del named["labels"]
        found = {table.split: table for table in open_tables(project.root, named)}
        read_annotations(project.root, contract.dataset, review)  # a broken file is said before anybody labels
        rows = _rows(found["rows"], found.get("labels"), contract.dataset, review, sitting)
        if not rows and sitting > 1:
            raise BadInput(f"there is no sitting {sitting} of {split}", hint="beampermit data label")
        return cls(project, contract, review, found["rows"], rows, person, sitting)

    @property
    def words(self) -> str:
        """Which rows these are, where they are not all; else nothing."""
        if self.total <= len(self._rows):
            return ""
        first = (self.sitting - 1) * MOST
        last = first + len(self._rows)
        more = f"; --sitting {self.sitting + 1} has the next" if last < self.total else ""
        return f"sitting {self.sitting}, rows {first + 1:,} to {last:,} of {self.total:,}, least sure first{more}"

    @property
    def file(self) -> str:
        """Where opinions are kept, in the project."""
        return self._review.file

    def state(self) -> dict[str, Any]:
        """Everything but the signals: what may be said, each row, and every last word on it, others' too."""
        words = latest_annotations(self._opinions())
        return {
            "title": self.title,
            "who": self.who,
            "file": self.file,
            "column": self._review.column,
            "values": list(self._review.values),
            "key": list(self._dataset.key),
            "sitting": self.words,
            "rows": [
                {
                    "row": row.number,
                    "key": list(row.key),
                    "rule": {"value": row.value, "by": row.by, "why": row.why, "confidence": row.confidence},
                    "said": [opinion.as_json() for opinion in words.get(row.key, ())],
                }
                for row in self._rows.values()
            ],
        }

    def signals(self, numbers: list[int]) -> dict[str, Any]:
        """The inputs of some rows: row -> name -> unit, range and values; what is not finite is null."""
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

    def say(self, number: int, value: str, why: str, confidence: float) -> list[dict[str, object]]:
        """Keep this person's word on a row; give all last words on it. Raises `BadInput`."""
        row = self._rows.get(number)
        if row is None:
            raise BadInput(f"there is no row {number}")
        opinion = Annotation(row.key, value, self.who, datetime.now(UTC), why[:LONGEST], confidence)
        with self._lock:
            append_annotation(self._project.root, self._dataset, self._review, opinion)
        return [said.as_json() for said in latest_annotations(self._opinions()).get(row.key, ())]

    def _opinions(self) -> tuple[Annotation, ...]:
        return read_annotations(self._project.root, self._dataset, self._review)


def _rows(table: Table, labels: Table | None, dataset: Dataset, review: Review, sitting: int) -> list[Row]:
    some = f"LIMIT {MOST} OFFSET {(sitting - 1) * MOST}"
    missing = [column for column in dataset.key if column not in table.columns]
    if missing:
        raise Failed(f"there is no column {missing[0]!r}", file=table.path)
    keys = ", ".join(f"CAST(signal.{quoted(column)} AS VARCHAR)" for column in dataset.key)
    if labels is None or any(column not in labels.columns for column in (*dataset.key, review.column)):
        sql = (
            f"SELECT signal.file_row_number, '', '', '', NULL, {keys} FROM {table.numbered} AS signal ORDER BY 1 {some}"
        )
        return [_queue_row(values) for values in table.query(sql)]
    same = " AND ".join(
        f"CAST(label.{quoted(column)} AS VARCHAR) = CAST(signal.{quoted(column)} AS VARCHAR)" for column in dataset.key
    )
    value = f"CAST(label.{quoted(review.column)} AS VARCHAR)"
    by = next((column for column in (SOURCE, WHO) if column in labels.columns), None)
    said = [
        f"CAST(label.{quoted(column)} AS VARCHAR)" if column in labels.columns else "''" for column in (by or WHO, WHY)
    ]
    sure = f"CAST(label.{quoted(CONFIDENCE)} AS DOUBLE)" if CONFIDENCE in labels.columns else "NULL"
    sql = (
        f"SELECT signal.file_row_number, {value}, {said[0]}, {said[1]}, {sure} AS sure, {keys}"
        f" FROM {table.numbered} AS signal LEFT JOIN {labels.source} AS label ON {same}"
        f" ORDER BY sure NULLS FIRST, 1 {some}"
    )
    return [_queue_row(values) for values in table.query(sql)]


def _queue_row(values: tuple[Any, ...]) -> Row:
    number, value, by, why, sure, *key = values
    confidence = sure if sure is not None and math.isfinite(sure) else None
    return Row(number, tuple(map(str, key)), value or "", by or "", why or "", confidence)


def _finite(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
