"""The datasheet of a dataset: content, labels, lineage and limitations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from beampermit.changes.data import summarize_difference
from beampermit.contract.dataset import About, Split
from beampermit.datasets.differences import SplitDifference, bars
from beampermit.datasets.labels import annotations, review
from beampermit.datasets.lineage import Lineage, read_lineage
from beampermit.datasets.profile import VALUES, ColumnRoles, TableProfile, profile
from beampermit.datasets.pull import way_to_get
from beampermit.datasets.tables import Table, open_tables
from beampermit.documents import rendering
from beampermit.documents.markdown import Markdown
from beampermit.documents.page import drawing, page
from beampermit.errors import BadInput, Failed
from beampermit.project import Project


@dataclass(frozen=True)
class Sheet:
    """`missing` says why there is no lineage record."""

    name: str
    commit: str
    clean: bool
    about: About | None
    source: str
    version: int
    rule: Split
    shape: ColumnRoles
    profiles: tuple[TableProfile, ...]
    labels: review.LabelReview | None
    lineage: Lineage | None
    missing: str

    @property
    def groups(self) -> tuple[str, ...]:
        return self.shape.groups

    @property
    def classes(self) -> list[str]:
        """The targets whose values are classes."""
        return [name for name in self.shape.targets if any(name in split.balance for split in self.profiles)]

    @property
    def measured(self) -> list[str]:
        """The targets that are quantities."""
        return [name for name in self.shape.targets if any(name in split.signals for split in self.profiles)]

    def values(self, target: str) -> list[str]:
        """Values of a target in any split, the most frequent first."""
        counts: dict[str, int] = {}
        for split in self.profiles:
            for value, count in split.balance.get(target, {}).items():
                counts[value] = counts.get(value, 0) + count
        return sorted(counts, key=lambda value: -counts[value])[:VALUES]

    def rows_of(self, target: str, split: TableProfile, value: str | None = None) -> str:
        """How many rows of a split have a value of a target, or any that is not listed: `12 (50.0%)`."""
        balance = split.balance.get(target, {})
        listed = sum(balance.get(name, 0) for name in self.values(target))
        count = split.rows - listed if value is None else balance.get(value, 0)
        return f"{count:,} ({count / (split.rows or 1):.1%})"

    def has_more(self, target: str) -> bool:
        """Whether some split has rows with a value that is not listed."""
        listed = self.values(target)
        counted = (
            sum(split.balance[target].get(name, 0) for name in listed) < split.rows
            for split in self.profiles
            if target in split.balance
        )
        return any(counted)

    @property
    def people(self) -> list[tuple[str, int]]:
        """Who labelled, and how many rows."""
        return list(self.labels.people.items())[:20] if self.labels else []

    @property
    def parameters(self) -> str:
        return json.dumps(self.lineage.parameters, ensure_ascii=False) if self.lineage else ""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "name": self.name,
            "commit": self.commit,
            "clean": self.clean,
            "splits": [split.as_json() for split in self.profiles],
            "labels": self.labels.as_json() if self.labels else None,
            "lineage": self.lineage.model_dump(mode="json") if self.lineage else None,
        }

    def markdown(self) -> Markdown:
        """As Markdown, with histograms as block characters."""
        return self._made(lambda _: Markdown())

    def html(self) -> str:
        """As one HTML page with drawings."""
        from beampermit.documents import charts

        images = {}
        for name in self.classes:
            shares = {split.name: split.balance.get(name, {}) for split in self.profiles}
            images[name] = charts.balance_svg(name, shares, self.values(name))
        for name in (*self.measured, *self.shape.signals):
            shown = {p.name: p.signals[name].bins for p in self.profiles if name in p.signals and p.signals[name].bins}
            span = next((p.signals[name].span for p in self.profiles if name in p.signals), None)
            if shown and span:
                images[name] = charts.histogram_svg(name, self.shape.units.get(name, ""), span, shown)
        return page(
            self._made(lambda name: drawing(name) if name in images else Markdown()), f"{self.name}: datasheet", images
        )

    def _made(self, draw: Callable[[str], Markdown]) -> Markdown:
        return rendering.join(rendering.blocks("datasheet.md.j2", {"sheet": self, "bars": bars, "drawing": draw}))


def format_differences(differences: Iterable[SplitDifference], before: str, after: str) -> Markdown:
    """Two versions of a dataset side by side."""
    splits = tuple(map(summarize_difference, differences))
    return rendering.join(rendering.blocks("data_diff.md.j2", {"splits": splits, "before": before, "after": after}))


def datasheet(project: Project) -> Sheet:
    """Profile the splits and labels of the work tree. Raises `Failed` where data is missing."""
    contract = project.contract
    dataset = contract.dataset
    labelled = {"labels": dataset.labels} if dataset.labels else {}
    named = {**labelled, **dataset.splits}
    absent = [path for path in (*dataset.splits.values(), *labelled.values()) if not project.path(path).is_file()]
    if absent:
        raise Failed("this file is missing", file=absent[0], hint=way_to_get(project, absent[0]))
    tables = open_tables(project.root, named)
    splits = tables[len(labelled) :]
    labels_by_people = annotations.read_annotations(project.root, dataset, dataset.review) if dataset.review else ()
    shape = ColumnRoles.of(contract)
    lineage, missing = _read_lineage(project, dataset.lineage)
    return Sheet(
        name=contract.model.name,
        commit=project.git.head(),
        clean=not project.git("status", "--porcelain", "--untracked-files=no"),
        about=dataset.about,
        source=str(dataset.request.source),
        version=dataset.request.version,
        rule=dataset.split,
        shape=shape,
        profiles=_profiles(splits, shape),
        labels=review.review_labels(tables[0], splits, dataset, labels_by_people) if labelled else None,
        lineage=lineage,
        missing=missing,
    )


def _profiles(tables: list[Table], shape: ColumnRoles) -> tuple[TableProfile, ...]:
    """Of all splits, with histograms over the first split's range, so that they can be compared."""
    first = profile(tables[0], shape)
    spans = {name: signal.span for name, signal in first.signals.items() if signal.span}
    return (first, *(profile(table, shape, spans) for table in tables[1:]))


def _read_lineage(project: Project, path: str) -> tuple[Lineage | None, str]:
    try:
        return read_lineage(project.root, path), ""
    except BadInput as error:
        return None, str(error)
