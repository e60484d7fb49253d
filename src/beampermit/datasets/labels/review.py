"""Whether labels cover the dataset and name who, when, why; where people overrule rules, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from beampermit.contract.dataset import Dataset, Review
from beampermit.datasets.labels import annotations
from beampermit.datasets.labels.annotations import CLOCK_TOLERANCE, CONFIDENCE, WHEN, WHO, WHY, Annotation, latest_annotations
from beampermit.datasets.tables import Table, open_tables, quoted
from beampermit.errors import Failed, meant
from beampermit.project import Project

SHOWN = 200
SOURCE, OVERRULED = "source", "overruled"
"""Columns that labels may have: `rule`, `injection`, `expert`; and what the rules said where a person says else."""


@dataclass(frozen=True)
class Coverage:
    """Rows of one table, how many of them have a label, and how many another one than the labels' table says."""

    rows: int
    labelled: int
    different: int = 0


@dataclass
class LabelReview:
    """What was found of a dataset's labels. `problems` are in words; the rest is for the reader."""

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
        """For a program, and for evidence."""
        return {
            "rows": self.rows,
            "coverage": {key: vars(found) for key, found in self.coverage.items()},
            "values": self.values,
            "people": self.people,
            "sources": self.sources,
            "confidence": dict(zip(("lowest", "mean"), self.confidence, strict=True)) if self.confidence else None,
            "overruled": self.overruled,
            "conflicts": [[opinion.as_json() for opinion in row] for row in self.conflicts],
            "superseded": self.superseded,
            "problems": self.problems,
        }


def review_labels(labels: Table, others: list[Table], dataset: Dataset, opinions: tuple[Annotation, ...]) -> LabelReview:
    """Judge the table of labels against the tables of rows (`raw` and the splits) and what people said.

    Raises `Failed` for a file that cannot be read.
    """
    found = LabelReview()
    found.problems += _missing_columns(labels, dataset)
    if found.problems:
        return found
    found.problems += _empty_values(labels, dataset, found)
    found.problems += _future_labels(labels)
    found.problems += _check_confidence(labels, found)
    found.problems += _repeated_labels(labels, dataset)
    found.values = _counts(labels, dataset.review.column if dataset.review else dataset.target)
    found.people = _counts(labels, WHO)
    found.sources = _counts(labels, SOURCE) if SOURCE in labels.columns else {}
    if not found.problems:
        for table in others:
            found.problems += _check_coverage(labels, table, dataset, found)
    if dataset.review:
        found.problems += _check_annotations(labels, dataset, dataset.review, opinions, found)
    return found


def _missing_columns(labels: Table, dataset: Dataset) -> Iterator[str]:
    review = [dataset.review.column] if dataset.review else []
    for column in dict.fromkeys([*dataset.key, dataset.target, *review, WHO, WHEN, WHY]):
        if column not in labels.columns:
            yield f"there is no column {column!r}{meant(column, labels.columns, 'is it')}"


def _empty_values(labels: Table, dataset: Dataset, found: LabelReview) -> Iterator[str]:
    asked = list(dict.fromkeys([*dataset.key, dataset.target, WHO, WHEN, WHY]))
    counts = ", ".join(f"count(*) FILTER (WHERE trim(coalesce({_text(column)}, '')) = '')" for column in asked)
    found.rows, *empty = labels.query(f"SELECT count(*), {counts} FROM {labels.source}")[0]
    if not found.rows:
        yield "there are no labels"
    for column, count in zip(asked, empty, strict=True):
        if count:
            yield f"{column} is empty in {count} of {found.rows} labels"


def _future_labels(labels: Table) -> Iterator[str]:
    kind = labels.columns[WHEN]
    if not kind.startswith(("TIMESTAMP", "DATE")):
        yield f"{WHEN} is of type {kind}, not a time"
        return
    limit = int((datetime.now(UTC) + CLOCK_TOLERANCE).timestamp() * 1e6)
    count, last = labels.query(
        f"SELECT count(*), CAST(max({quoted(WHEN)}) AS VARCHAR) FROM {labels.source}"
        f" WHERE epoch_us({quoted(WHEN)}) > {limit}"
    )[0]
    if count:
        yield f"{count} labels were given in the future, the last at {last}"


def _check_confidence(labels: Table, found: LabelReview) -> Iterator[str]:
    if CONFIDENCE not in labels.columns:
        return
    if labels.dimensions(CONFIDENCE) != 0:
        yield f"{CONFIDENCE} is of type {labels.columns[CONFIDENCE]}, not a number"
        return
    sure = f"CAST({quoted(CONFIDENCE)} AS DOUBLE)"
    outside, lowest, mean = labels.query(
        f"SELECT count(*) FILTER (WHERE {sure} IS NULL OR isnan({sure}) OR {sure} < 0 OR {sure} > 1),"
        f" min({sure}) FILTER (WHERE isfinite({sure})), avg({sure}) FILTER (WHERE isfinite({sure}))"
        f" FROM {labels.source}"
    )[0]
    if lowest is not None:
        found.confidence = (lowest, mean)
    if outside:
        yield f"{CONFIDENCE} is not from 0 to 1 in {outside} labels"


def _repeated_labels(labels: Table, dataset: Dataset) -> Iterator[str]:
    keys = ", ".join(quoted(column) for column in dataset.key)
    rows, torn, first = labels.query(
        f"SELECT count(*), count(*) FILTER (WHERE said > 1), min({_key(dataset)}) FROM"
        f" (SELECT {keys}, count(DISTINCT {quoted(dataset.target)}) AS said FROM {labels.source}"
        f" GROUP BY {keys} HAVING count(*) > 1)"
    )[0]
    if rows:
        against = f", {torn} of them against each other" if torn else ""
        yield f"{rows} rows are labelled more than once{against} (first: {_format_key(dataset, first)})"


def _check_coverage(labels: Table, table: Table, dataset: Dataset, found: LabelReview) -> Iterator[str]:
    """What a split does not have; of the raw table only the number is told, for nobody must use all of it."""
    lacking = [column for column in dataset.key if column not in table.columns]
    if lacking:
        yield f"{table.path} has no column {lacking[0]!r} to look its labels up by"
        return
    target = quoted(dataset.target)
    judged = dataset.target in table.columns and table.split in dataset.splits
    other = f"CAST(label.{target} AS VARCHAR) IS DISTINCT FROM CAST(row.{target} AS VARCHAR)" if judged else "false"
    same = " AND ".join(f"{_text(column, 'label')} = {_text(column, 'row')}" for column in dataset.key)
    here = f"label.{quoted(dataset.key[0])} IS NOT NULL"
    rows, labelled, different, bare, first = table.query(
        f"SELECT count(*), count(*) FILTER (WHERE {here}), count(*) FILTER (WHERE {here} AND {other}),"
        f" min({_key(dataset, 'row')}) FILTER (WHERE NOT {here}),"
        f" min({_key(dataset, 'row')}) FILTER (WHERE {here} AND {other})"
        f" FROM {table.source} AS row LEFT JOIN {labels.source} AS label ON {same}"
    )[0]
    found.coverage[table.split] = Coverage(rows, labelled, different)
    if table.split not in dataset.splits:
        return
    if labelled < rows:
        yield f"{table.path}: {rows - labelled} of {rows} rows have no label (first: {_format_key(dataset, bare)})"
    if different:
        words = f"{table.path}: {dataset.target} is not what the labels say in {different} of {rows} rows"
        yield f"{words} (first: {_format_key(dataset, first)})"


def _check_annotations(
    labels: Table, dataset: Dataset, review: Review, opinions: tuple[Annotation, ...], found: LabelReview
) -> Iterator[str]:
    words = latest_annotations(opinions)
    found.superseded = len(opinions) - sum(len(said) for said in words.values())
    found.conflicts = [said for said in words.values() if len({opinion.value for opinion in said}) > 1]
    if not words:
        return
    stand = _current_labels(labels, dataset, review, list(words))
    unknown = [key for key in words if key not in stand]
    if unknown:
        yield (
            f"{review.file}:{words[unknown[0]][0].line}: {len(unknown)} opinions are about rows that have no label"
            f" (first: {_format_key(dataset, unknown[0])})"
        )
    unheard = [said[0] for key, said in words.items() if key in stand and stand[key][:2] != (said[0].value, said[0].by)]
    if unheard:
        first = unheard[0]
        value, by, _ = stand[first.key]
        yield (
            f"{len(unheard)} opinions are not in the labels: {first.by} says {first.value}"
            f" at {review.file}:{first.line}, the table has {value} by {by} ({_format_key(dataset, first.key)})"
        )
    for key, (value, _, before) in stand.items():
        if before and before != value and len(found.overruled) < SHOWN:
            found.overruled.append({**words[key][0].as_json(), "before": before})


def _current_labels(
    labels: Table, dataset: Dataset, review: Review, keys: list[tuple[str, ...]]
) -> dict[tuple[str, ...], tuple[str, str, str]]:
    """Key -> what the labels say, by whom, and what the rules said before."""
    before = _text(OVERRULED) if OVERRULED in labels.columns else "''"
    found: dict[tuple[str, ...], tuple[str, str, str]] = {}
    asked = set(keys)
    listed = ", ".join(_text(column) for column in dataset.key)
    people = labels.query(
        f"SELECT {listed}, {_text(review.column)}, {_text(WHO)}, {before} FROM {labels.source}"
        f" WHERE {_text(dataset.key[0])} IN ({', '.join(sorted({_quoted(key[0]) for key in keys}))})"
    )
    for *key, value, by, said in people:
        if tuple(key) in asked:
            found[tuple(key)] = (value, by, said or "")
    return found


def _counts(labels: Table, column: str) -> dict[str, int]:
    rows = labels.query(
        f"SELECT coalesce({_text(column)}, ''), count(*) AS count FROM {labels.source}"
        f" GROUP BY 1 ORDER BY count DESC, 1 LIMIT {SHOWN}"
    )
    return dict(rows)


def _key(dataset: Dataset, table: str = "") -> str:
    return f"[{', '.join(_text(column, table) for column in dataset.key)}]"


def _text(column: str, table: str = "") -> str:
    return f"CAST({f'{table}.' if table else ''}{quoted(column)} AS VARCHAR)"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _format_key(dataset: Dataset, values: Any) -> str:
    return ", ".join(f"{column} {str(value)[:60]}" for column, value in zip(dataset.key, values, strict=True))


def review_project(project: Project) -> LabelReview:
    """Coverage of the raw table and the splits that are here, conflicts, what people overruled.

    Raises `Failed` for labels that are not here, `BadInput` for a line of people's that cannot be read.
    """
    dataset = project.contract.dataset
    if not project.path(dataset.labels).is_file():
        raise Failed("the table of labels is not here", file=dataset.labels, hint="beampermit data pull")
    named = {"raw": dataset.raw, **dataset.splits}
    here = {name: path for name, path in named.items() if project.path(path).is_file()}
    labels, *others = open_tables(project.root, {"labels": dataset.labels, **here})
    said = annotations.read_annotations(project.root, dataset, dataset.review) if dataset.review else ()
    return review_labels(labels, others, dataset, said)
