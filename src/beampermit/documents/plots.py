"""What an evaluation wrote to be drawn, from `plots.json`: lines, clouds of points, histograms, confusion matrices."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from beampermit.documents.markdown import visible
from beampermit.errors import BadInput, did_you_mean, more
from beampermit.reading import first_fault
from beampermit.record import Number, Record

LARGEST = 100_000
"""Points of a curve or cloud that are read."""
ENOUGH = 200
"""Points of a curve that are drawn."""
CLOUD = 400
"""Points of a cloud that are drawn one by one; of more, it is counted how many lie in each cell."""
CELLS = 32
"""Cells of a cloud, each way."""
MOST = 60
"""Charts that a report shows."""
CURVES = 6
"""Curves of a chart: more cannot be told apart."""
CLASSES = 30
"""Classes of a confusion matrix."""
BINS = 200
"""Bins of a histogram."""

Words = Annotated[str, AfterValidator(lambda text: visible(text, limit=80))]
"""A title or name, as every document shows it."""
Point = tuple[Number, Number]
Points = Annotated[tuple[Point, ...], Field(max_length=LARGEST)]
Amount = Annotated[float, Field(strict=True, ge=0)]


class Curve(Record):
    """One line: finite points (x, y) in the order of x."""

    name: Words
    points: Annotated[Points, AfterValidator(lambda points: tuple(sorted(points)))]

    def thinned(self) -> Curve:
        """At most `ENOUGH` points, evenly chosen, the first and the last among them."""
        last = len(self.points) - 1
        if last < ENOUGH:
            return self
        kept = tuple(self.points[last * place // (ENOUGH - 1)] for place in range(ENOUGH))
        return self.model_copy(update={"points": kept})


class Lines(Record):
    """Curves over one x axis. `steps`: a curve keeps its value until the next point, as a ROC curve does."""

    kind: Literal["line"] = "line"
    title: Words = ""
    x: Words = ""
    y: Words = ""
    curves: Annotated[tuple[Curve, ...], Field(max_length=CURVES)]
    steps: bool = False

    def thinned(self) -> Lines:
        return self.model_copy(update={"curves": tuple(curve.thinned() for curve in self.curves)})


class Cloud(Record):
    """Points (x, y). `identity`: both axes show the same quantity, so a line says where they are equal.

    A cloud of many points has `cell`, the width and height of the cells, whose centres are its points, and `counts`,
    how many points lie in each.
    """

    kind: Literal["scatter", "residuals"]
    title: Words = ""
    x: Words = ""
    y: Words = ""
    identity: bool = False
    points: Points
    cell: tuple[Number, Number] | None = None
    counts: tuple[Amount, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Cloud:
        if self.cell and (len(self.counts) != len(self.points) or min(self.cell) <= 0):
            raise ValueError("cells have a width, a height, and a count for each point")
        return self

    def thinned(self) -> Cloud:
        """With cells instead of more than `CLOUD` points. Equal points, of any number, are not a cloud with cells."""
        if self.cell or len(self.points) <= CLOUD:
            return self
        xs, ys = zip(*self.points, strict=True)
        low, cell = (min(xs), min(ys)), (_width(xs), _width(ys))

        def place(value: float, axis: int) -> int:
            return min(int((value - low[axis]) / cell[axis]), CELLS - 1)

        found = sorted(Counter((place(x, 0), place(y, 1)) for x, y in self.points).items())
        centres = tuple(
            (_short(low[0] + (column + 0.5) * cell[0]), _short(low[1] + (row + 0.5) * cell[1]))
            for (column, row), _ in found
        )
        counts = tuple(float(count) for _, count in found)
        return self.model_copy(update={"points": centres, "cell": cell, "counts": counts})


class Histogram(Record):
    """Counts between edges, one list a name: `edges` has one more, and they increase."""

    kind: Literal["histogram"] = "histogram"
    title: Words = ""
    x: Words = ""
    edges: Annotated[tuple[Number, ...], Field(min_length=2, max_length=BINS + 1)]
    counts: Annotated[dict[Words, tuple[Amount, ...]], Field(min_length=1, max_length=CURVES)]

    @model_validator(mode="after")
    def _fitting(self) -> Histogram:
        if any(after <= before for before, after in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges must increase")
        for name, counts in self.counts.items():
            if len(counts) != len(self.edges) - 1:
                raise ValueError(f"{name!r} has {len(counts)} counts for {len(self.edges) - 1} bins")
        return self

    def shares(self) -> dict[str, list[float]]:
        """Name -> for each bin its share of all counts, so that classes of different sizes can be compared."""
        return {name: [count / (sum(counts) or 1) for count in counts] for name, counts in self.counts.items()}

    def thinned(self) -> Histogram:
        return self


class Confusion(Record):
    """How often a class of the truth (row) was predicted as which class (column)."""

    kind: Literal["confusion"] = "confusion"
    title: Words = ""
    classes: Annotated[tuple[Words, ...], Field(min_length=2, max_length=CLASSES)]
    counts: tuple[tuple[Amount, ...], ...]

    @model_validator(mode="after")
    def _square(self) -> Confusion:
        size = len(self.classes)
        if len(self.counts) != size or any(len(row) != size for row in self.counts):
            raise ValueError(f"counts must have {size} rows of {size} numbers, one for each class")
        return self

    def shares(self) -> list[list[float]]:
        """Of each class of the truth, which share was predicted as which class."""
        return [[count / (sum(row) or 1) for count in row] for row in self.counts]

    def thinned(self) -> Confusion:
        return self


Chart = Annotated[Lines | Cloud | Histogram | Confusion, Field(discriminator="kind")]
KINDS = ("line", "scatter", "histogram", "confusion", "residuals")
SHORT = ("training", "roc", "confusion")
"""Names of plots that need no kind: curves of a training, a ROC curve, and counts of two classes."""


class Plots(Record):
    """`left_out` says in a sentence each what is not drawn, and why."""

    charts: tuple[Chart, ...] = ()
    left_out: tuple[str, ...] = ()

    def thinned(self) -> Plots:
        """With as many charts and points as a document shows."""
        charts, others = self.charts[:MOST], self.charts[MOST:]
        left_out = self.left_out
        if others:
            left_out += (f"{others[0].title!r}{more(len(others) - 1)} is not drawn: a document shows {MOST} plots",)
        return Plots(charts=tuple(chart.thinned() for chart in charts), left_out=left_out)


def parse_plots(content: Any, file: Path | str) -> Plots:
    """Read plots by name: `{"emittance": {"kind": "scatter", "x": "measured (um)", "points": [[1, 2], ...]}, ...}`.

    The names of `SHORT` have a short form: `{"roc": [[fpr, tpr], ...], "training": [[epoch, loss, val_loss], ...],
    "confusion": {"tp": 1, "fp": 2, "fn": 3, "tn": 4}}`. A plot without a kind that is known is left out, which the
    documents say. Raises `BadInput` for a plot that is not as its kind asks.
    """
    if not isinstance(content, dict):
        raise BadInput("plots are a JSON object", file=file)
    charts: dict[str, Chart] = {}
    left_out = []
    for name in [*(name for name in SHORT if name in content), *(name for name in content if name not in SHORT)]:
        given = content[name]
        kind = given.get("kind") if isinstance(given, dict) else None
        if name in SHORT and kind is None:
            if given not in (None, []):
                charts[name] = _short_form(name, given, file)
        elif kind in KINDS:
            charts[name] = _chart(name, given, file)
        else:
            left_out.append(f"{name!r} is not drawn: {_why(kind)}")
    return Plots(charts=tuple(_told_apart(charts)), left_out=tuple(left_out))


def _why(kind: object) -> str:
    known = f"the kinds are {', '.join(KINDS)}"
    if kind is None:
        return f"it has no kind; {known}"
    return f"{kind!r} is not a kind of plot{did_you_mean(str(kind), KINDS)}; {known}"


def _chart(name: str, given: dict[str, Any], file: Path | str) -> Chart:
    titled = {"title": name.replace("_", " ").capitalize(), **given}
    if titled["kind"] == "line" and isinstance(curves := titled.get("curves"), dict):
        titled["curves"] = [{"name": curve, "points": points} for curve, points in curves.items()]
    try:
        return TypeAdapter(Chart).validate_python(titled)
    except ValidationError as error:
        fault = first_fault(error).removeprefix(f"{titled['kind']}.")
        raise BadInput(f"{name}: {fault}", file=file) from None


def _short_form(name: str, given: Any, file: Path | str) -> Lines | Confusion:
    if name == "confusion":
        return _two_classes(given, file)
    rows = _rows(given, name, 3 if name == "training" else 2, file)
    if name == "training":
        named = (("training", 1), ("validation", 2))
        curves = tuple(Curve(name=name, points=tuple((row[0], row[place]) for row in rows)) for name, place in named)
        return Lines(title="Loss", x="epoch", y="loss", curves=curves)
    curve = Curve(name="model", points=tuple((row[0], row[1]) for row in rows))
    return Lines(title="ROC", x="false-positive rate", y="true-positive rate", curves=(curve,), steps=True)


def _rows(rows: Any, key: str, width: int, file: Path | str) -> list[tuple[float, ...]]:
    if not isinstance(rows, list) or len(rows) > LARGEST:
        raise BadInput(f"{key} is a list of at most {LARGEST} points", file=file)
    for row in rows:
        if not isinstance(row, list) or len(row) != width or not all(map(is_number, row)):
            raise BadInput(f"each point of {key} is a list of {width} finite numbers", file=file)
    return [tuple(map(float, row)) for row in rows]


def _two_classes(given: Any, file: Path | str) -> Confusion:
    keys = ("tp", "fn", "fp", "tn")
    if not isinstance(given, dict) or not all(is_number(given.get(key)) and given[key] >= 0 for key in keys):
        raise BadInput("confusion holds the counts tp, fn, fp and tn, or has a kind", file=file)
    tp, fn, fp, tn = (float(given[key]) for key in keys)
    return Confusion(title="Confusion", classes=("positive", "negative"), counts=((tp, fn), (fp, tn)))


def _told_apart(
    charts: dict[str, Chart],
) -> Iterable[Chart]:
    """Charts with titles of their own, by which documents find their drawings."""
    taken = Counter(chart.title for chart in charts.values())
    for name, chart in charts.items():
        title = chart.title if chart.title and taken[chart.title] == 1 else visible(f"{chart.title} ({name})", limit=80)
        yield chart.model_copy(update={"title": title})


def _width(values: Iterable[float]) -> float:
    """Of a cell; where all values are equal, of a single row of cells around them."""
    low, high = min(values := list(values)), max(values)
    return (high - low) / CELLS or abs(low) / CELLS or 1.0


def _short(value: float) -> float:
    """With the digits that a drawing shows: a report has a size."""
    return float(f"{value:.6g}")


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number, which true and false are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
