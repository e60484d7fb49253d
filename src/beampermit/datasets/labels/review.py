"""Whether labels cover the dataset and say who, when and why; where people overrule rules, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from beampermit.contract import FILE_NAME
from beampermit.contract.dataset import Dataset, Review
from beampermit.datasets.labels import annotations
from beampermit.datasets.labels.annotations import (
    CLOCK_TOLERANCE,
    CONFIDENCE,
    WHEN,
    WHO,
    WHY,
    Annotation,
    latest_annotations,
)
from beampermit.datasets.pull import way_to_get
from beampermit.datasets.tables import Table, open_tables, quoted, sql_text
from beampermit.errors import BadInput, Failed, counted, did_you_mean
from beampermit.project import Project

SHOWN = 200
SOURCE, OVERRULED = "source", "overruled"
"""Optional columns of the labels: `rule`, `injection` or `expert`; the rule's value where a person overruled it."""


@dataclass(frozen=True)
class Coverage:
    """Rows of one table: all, with a label, and with a target that differs from the label."""

    rows: int
    labelled: int
    different: int = 0


@dataclass
class LabelReview:
    """Problems of a dataset's labels, and statistics."""

    rows: int = 0
    coverage: dict[str, Coverage] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    confidence: tuple[float, float] | None = None
    overruled: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[list[Annotation]] = field(default_factory=list)
    superseded: int = 0
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "coverage": {split: vars(coverage) for split, coverage in self.coverage.items()},
            "values": self.values,
            "people": self.people,
            "sources": self.sources,
            "confidence": dict(zip(("lowest", "mean"), self.confidence, strict=True)) if self.confidence else None,
            "overruled": self.overruled,
            "conflicts": [[annotation.as_json() for annotation in row] for row in self.conflicts],
            "superseded": self.superseded,
            "problems": self.problems,
        }


def review_project(project: Project) -> LabelReview:
    """The label review of the raw table and the splits that are present.

    Raises `Failed` if the labels are missing, `BadInput` where the contract has none, and for an annotation that cannot
    be read.
    """
    dataset = project.contract.dataset
    path = dataset.labels
    if path is None:
        raise BadInput("nobody and nothing labels these data: there is no dataset.labels", file=FILE_NAME)
    if not project.path(path).is_file():
        raise Failed("the label table is missing", file=path, hint=way_to_get(project, path))
    named = {"raw": dataset.raw, **dataset.splits}
    present = {name: path for name, path in named.items() if project.path(path).is_file()}
    labels, *others = open_tables(project.root, {"labels": path, **present})
    people = annotations.read_annotations(project.root, dataset, dataset.review) if dataset.review else ()
    return review_labels(labels, others, dataset, people)


def review_labels(labels: Table, others: list[Table], dataset: Dataset, people: tuple[Annotation, ...]) -> LabelReview:
    """Compare the label table with the tables of rows (`raw` and the splits) and with people's annotations.

    Raises `Failed` if a file cannot be read.
    """
    result = LabelReview()
    result.problems += _missing_columns(labels, dataset)
    if result.problems:
        return result
    result.problems += _empty_values(labels, dataset, result)
    result.problems += _future_labels(labels)
    result.problems += _check_confidence(labels, result)
    result.problems += _repeated_labels(labels, dataset)
    result.values = _counts(labels, dataset.review.column if dataset.review else _target(dataset))
    result.people = _counts(labels, WHO)
    result.sources = _counts(labels, SOURCE) if SOURCE in labels.columns else {}
    if not result.problems:
        for table in others:
            result.problems += _check_coverage(labels, table, dataset, result)
    if dataset.review:
        result.problems += _check_annotations(labels, dataset, dataset.review, people, result)
    return result


def _missing_columns(labels: Table, dataset: Dataset) -> Iterator[str]:
    review = [dataset.review.column] if dataset.review else []
    for column in dict.fromkeys([*dataset.key, _target(dataset), *review, WHO, WHEN, WHY]):
        if column not in labels.columns:
            yield f"there is no column {column!r}{did_you_mean(column, labels.columns, 'is it')}"


def _empty_values(labels: Table, dataset: Dataset, result: LabelReview) -> Iterator[str]:
    required = list(dict.fromkeys([*dataset.key, _target(dataset), WHO, WHEN, WHY]))
    counts = ", ".join(f"count(*) FILTER (WHERE trim(coalesce({_text(column)}, '')) = '')" for column in required)
    result.rows, *empty = labels.query(f"SELECT count(*), {counts} FROM {labels.source}")[0]
    if not result.rows:
        yield "there are no labels"
    for column, count in zip(required, empty, strict=True):
        if count:
            yield f"{column} is empty in {count} of {result.rows} labels"


def _future_labels(labels: Table) -> Iterator[str]:
    kind = labels.columns[WHEN]
    if not labels.is_time(WHEN):
        yield f"{WHEN} has type {kind}, not a time"
        return
    (odd,) = labels.query(
        f"SELECT count(*) FILTER (WHERE {quoted(WHEN)} IS NOT NULL AND NOT {labels.shown_time(WHEN)})"
        f" FROM {labels.source}"
    )[0]
    if odd:
        yield f"{WHEN} is not a time of the years 1 to 9999 in {counted(odd, 'label')}"
    limit = int((datetime.now(UTC) + CLOCK_TOLERANCE).timestamp() * 1e6)
    count, last = labels.query(
        f"SELECT count(*), CAST(max({quoted(WHEN)}) AS VARCHAR) FROM {labels.source}"
        f" WHERE {labels.microseconds(WHEN)} > {limit}"
    )[0]
    if count:
        yield f"{WHEN} is in the future in {counted(count, 'label')}, the last at {last}"


def _check_confidence(labels: Table, result: LabelReview) -> Iterator[str]:
    if CONFIDENCE not in labels.columns:
        return
    if labels.dimensions(CONFIDENCE) != 0:
        yield f"{CONFIDENCE} has type {labels.columns[CONFIDENCE]}, not a number"
        return
    confidence = f"CAST({quoted(CONFIDENCE)} AS DOUBLE)"
    outside, lowest, mean = labels.query(
        "SELECT count(*) FILTER (WHERE c IS NULL OR isnan(c) OR c < 0 OR c > 1),"
        " min(c) FILTER (WHERE isfinite(c)), avg(c) FILTER (WHERE isfinite(c))"
        f" FROM (SELECT {confidence} AS c FROM {labels.source})"
    )[0]
    if lowest is not None:
        result.confidence = (lowest, mean)
    if outside:
        yield f"{CONFIDENCE} is not from 0 to 1 in {counted(outside, 'label')}"


def _repeated_labels(labels: Table, dataset: Dataset) -> Iterator[str]:
    keys = ", ".join(quoted(column) for column in dataset.key)
    rows, contradictory, first = labels.query(
        f"SELECT count(*), count(*) FILTER (WHERE targets > 1), min({_key(dataset)}) FROM"
        f" (SELECT {keys}, count(DISTINCT {quoted(_target(dataset))}) AS targets FROM {labels.source}"
        f" GROUP BY {keys} HAVING count(*) > 1)"
    )[0]
    if rows:
        note = f", {contradictory} of them with different values" if contradictory else ""
        yield f"{counted(rows, 'row')} labelled more than once{note} (first: {_format_key(dataset, first)})"


def _check_coverage(labels: Table, table: Table, dataset: Dataset, result: LabelReview) -> Iterator[str]:
    """Rows without a label, or with another one. Of the raw table they are only counted: not every row must be used."""
    missing = [column for column in dataset.key if column not in table.columns]
    if missing:
        yield f"{table.path} has no column {missing[0]!r}, which is part of dataset.key"
        return
    target = quoted(_target(dataset))
    has_target = _target(dataset) in table.columns and table.split in dataset.splits
    other = f"CAST(label.{target} AS VARCHAR) IS DISTINCT FROM CAST(row.{target} AS VARCHAR)" if has_target else "false"
    same = " AND ".join(f"{_text(column, 'label')} = {_text(column, 'row')}" for column in dataset.key)
    has_label = f"label.{quoted(dataset.key[0])} IS NOT NULL"
    rows, labelled, different, unlabelled, first = table.query(
        f"SELECT count(*), count(*) FILTER (WHERE {has_label}), count(*) FILTER (WHERE {has_label} AND {other}),"
        f" min({_key(dataset, 'row')}) FILTER (WHERE NOT {has_label}),"
        f" min({_key(dataset, 'row')}) FILTER (WHERE {has_label} AND {other})"
        f" FROM {table.source} AS row LEFT JOIN {labels.source} AS label ON {same}"
    )[0]
    result.coverage[table.split] = Coverage(rows, labelled, different)
    if table.split not in dataset.splits:
        return
    if labelled < rows:
        problem = f"{table.path}: {rows - labelled} of {rows} rows have no label"
        yield f"{problem} (first: {_format_key(dataset, unlabelled)})"
    if different:
        problem = f"{table.path}: {_target(dataset)} differs from its label in {different} of {rows} rows"
        yield f"{problem} (first: {_format_key(dataset, first)})"


def _check_annotations(
    labels: Table, dataset: Dataset, review: Review, annotations: tuple[Annotation, ...], result: LabelReview
) -> Iterator[str]:
    by_row = latest_annotations(annotations)
    result.superseded = len(annotations) - sum(len(latest) for latest in by_row.values())
    result.conflicts = [latest for latest in by_row.values() if len({annotation.value for annotation in latest}) > 1]
    if not by_row:
        return
    current = _current_labels(labels, dataset, review, set(by_row))
    unknown = [key for key in by_row if key not in current]
    if unknown:
        yield (
            f"{review.file}:{by_row[unknown[0]][0].line}: {counted(len(unknown), 'annotation')} about rows without a"
            f" label (first: {_format_key(dataset, unknown[0])})"
        )
    ignored = [
        latest[0]
        for key, latest in by_row.items()
        if key in current and current[key][:2] != (latest[0].value, latest[0].by)
    ]
    if ignored:
        first = ignored[0]
        value, by, _ = current[first.key]
        yield (
            f"{counted(len(ignored), 'annotation')} not in the labels: {first.by} says {first.value}"
            f" at {review.file}:{first.line}, the labels say {value} by {by} ({_format_key(dataset, first.key)})"
        )
    for key, (value, _, before) in current.items():
        if before and before != value and len(result.overruled) < SHOWN:
            result.overruled.append({**by_row[key][0].as_json(), "before": before})


def _current_labels(
    labels: Table, dataset: Dataset, review: Review, keys: set[tuple[str, ...]]
) -> dict[tuple[str, ...], tuple[str, str, str]]:
    """Key -> value, by whom, and the rule's value before."""
    before = _text(OVERRULED) if OVERRULED in labels.columns else "''"
    columns = ", ".join([*(_text(column) for column in dataset.key), _text(review.column), _text(WHO), before])
    rows = labels.query(
        f"SELECT {columns} FROM {labels.source}"
        f" WHERE {_text(dataset.key[0])} IN ({', '.join(sorted({sql_text(key[0]) for key in keys}))})"
    )
    return {tuple(key): (value, by, rule or "") for *key, value, by, rule in rows if tuple(key) in keys}


def _counts(labels: Table, column: str) -> dict[str, int]:
    rows = labels.query(
        f"SELECT coalesce({_text(column)}, ''), count(*) AS count FROM {labels.source}"
        f" GROUP BY 1 ORDER BY count DESC, 1 LIMIT {SHOWN}"
    )
    return dict(rows)


def _target(dataset: Dataset) -> str:
    """Labels have a target, as the contract has them."""
    return dataset.target or ""


def _key(dataset: Dataset, table: str = "") -> str:
    return f"[{', '.join(_text(column, table) for column in dataset.key)}]"


def _text(column: str, table: str = "") -> str:
    return f"CAST({f'{table}.' if table else ''}{quoted(column)} AS VARCHAR)"


def _format_key(dataset: Dataset, values: Any) -> str:
    return ", ".join(f"{column} {str(value)[:60]}" for column, value in zip(dataset.key, values, strict=True))
