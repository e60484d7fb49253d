"""What an evaluation wrote to be drawn: curves and a confusion matrix, from `plots.json`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput

Points = tuple[tuple[float, float], ...]
LARGEST = 100_000
"""Points of a curve that are read."""
ENOUGH = 200
"""Points of a curve that are drawn."""
MOST = 60
"""Charts that a report shows."""


@dataclass(frozen=True)
class Curve:
    """One line: finite points (x, y) in the order of x."""

    name: str
    points: Points

    def thinned(self) -> Curve:
        """At most `ENOUGH` points, evenly chosen, the first and the last among them."""
        last = len(self.points) - 1
        if last < ENOUGH:
            return self
        return Curve(self.name, tuple(self.points[last * place // (ENOUGH - 1)] for place in range(ENOUGH)))


@dataclass(frozen=True)
class Chart:
    """Curves over one x axis. `steps`: a curve keeps its value until the next point, as a ROC curve does."""

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    steps: bool = False


@dataclass(frozen=True)
class Confusion:
    """Counts of predictions at one threshold."""

    tp: float
    fp: float
    fn: float
    tn: float


@dataclass(frozen=True)
class Plots:
    """Parts that the evaluation did not write are empty."""

    charts: tuple[Chart, ...] = ()
    confusion: Confusion | None = None

    def thinned(self) -> Plots:
        """With as many charts and points as a document shows."""
        charts = tuple(
            replace(chart, curves=tuple(curve.thinned() for curve in chart.curves)) for chart in self.charts[:MOST]
        )
        return replace(self, charts=charts)


def parse_plots(content: Any, file: Path | str) -> Plots:
    """Read `{"roc": [[fpr, tpr], ...], "training": [[epoch, loss, val_loss], ...], "confusion": {...}}`.

    Each may be absent. Raises `BadInput` for anything of another shape.
    """
    if not isinstance(content, dict):
        raise BadInput("plots are a JSON object", file=file)
    charts = []
    if training := _rows(content, "training", 3, file):
        named = (("training", 1), ("validation", 2))
        curves = tuple(Curve(name, tuple((row[0], row[place]) for row in training)) for name, place in named)
        charts.append(Chart("Loss", "epoch", "loss", curves))
    if roc := _rows(content, "roc", 2, file):
        curve = Curve("model", tuple((row[0], row[1]) for row in roc))
        charts.append(Chart("ROC", "false-positive rate", "true-positive rate", (curve,), steps=True))
    return Plots(tuple(charts), _confusion(content, file))


def _rows(content: dict[str, Any], key: str, width: int, file: Path | str) -> list[tuple[float, ...]]:
    rows = content.get(key, [])
    if not isinstance(rows, list) or len(rows) > LARGEST:
        raise BadInput(f"{key} is a list of at most {LARGEST} points", file=file)
    for row in rows:
        if not isinstance(row, list) or len(row) != width or not all(map(is_number, row)):
            raise BadInput(f"each point of {key} is a list of {width} finite numbers", file=file)
    return sorted(tuple(map(float, row)) for row in rows)


def _confusion(content: dict[str, Any], file: Path | str) -> Confusion | None:
    given = content.get("confusion")
    if given is None:
        return None
    keys = ("tp", "fp", "fn", "tn")
    if not isinstance(given, dict) or not all(is_number(given.get(key)) for key in keys):
        raise BadInput("confusion holds the numbers tp, fp, fn and tn", file=file)
    return Confusion(*(float(given[key]) for key in keys))


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number, which true and false are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
