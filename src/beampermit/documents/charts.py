"""Curves to be drawn twice: by GitHub from Mermaid, and by matplotlib in the HTML page."""

from __future__ import annotations

import base64
import io
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from beampermit.documents.markdown import Markdown, block, visible
from beampermit.errors import BadInput

Points = tuple[tuple[float, float], ...]
LARGEST = 100_000
"""More points than this are no curve to look at."""
ENOUGH = 200
"""Points of a curve that a drawing shows."""
MOST = 60
"""Charts of a report."""


@dataclass(frozen=True)
class Curve:
    """One line: finite points (x, y) in the order of x."""

    name: str
    points: Points

    def thinned(self) -> Curve:
        """Every so manieth point, the first and the last among them."""
        last = len(self.points) - 1
        if last < ENOUGH:
            return self
        return Curve(self.name, tuple(self.points[last * place // (ENOUGH - 1)] for place in range(ENOUGH)))


@dataclass(frozen=True)
class Chart:
    """Lines over one x axis. `steps`: between two points the lower one holds, as in a ROC curve."""

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    steps: bool = False


@dataclass(frozen=True)
class Confusion:
    """Counts of one threshold: what was said against what was true."""

    tp: float
    fp: float
    fn: float
    tn: float


@dataclass(frozen=True)
class Plots:
    """What an evaluation gave to be drawn; parts that it did not give are empty."""

    charts: tuple[Chart, ...] = ()
    confusion: Confusion | None = None

    def thinned(self) -> Plots:
        """As much as can be seen."""
        charts = tuple(
            replace(chart, curves=tuple(curve.thinned() for curve in chart.curves)) for chart in self.charts[:MOST]
        )
        return replace(self, charts=charts)


def plots(content: Any, file: Path | str) -> Plots:
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
    """Whether a JSON value is a finite number (true and false are none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


COLOURS = (("blue", "#0072b2"), ("orange", "#d55e00"), ("green", "#009e73"))
SMALLEST = 1e-12
SHOWN = 40
"""Points of a line: a comment is narrow, and a diagram may hold 50,000 characters."""


def label(value: object) -> str:
    """`value` as a label in quotes: quotes, brackets, `#` and all else that Mermaid reads as its own become spaces."""
    plain = re.sub(r"[^\w .,:/()+-]|--+|::+", " ", visible(value, limit=80))
    return f'"{" ".join(plain.split())}"'


def chart(wanted: Chart) -> Markdown:
    """A fenced `xychart-beta`; the title names the colours, because Mermaid draws no legend."""
    curves = [curve for curve in wanted.curves if len(curve.points) > 1]
    span = _span([x for curve in curves for x, _ in curve.points])
    if not curves or span is None:
        return Markdown()
    colours = COLOURS[: len(curves)]
    names = ", ".join(f"{colour} {curve.name}" for (colour, _), curve in zip(colours, curves, strict=False))
    title = f"{wanted.title}: {names}" if len(curves) > 1 else wanted.title
    lines = [[_digits(y) for y in _resampled(curve.points, span, wanted.steps)] for curve in curves[: len(colours)]]
    low, high = _bounds([float(y) for line in lines for y in line], steps=wanted.steps)
    body = [
        '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "'
        + ", ".join(code for _, code in colours)
        + '"}}}}%%',
        "xychart-beta",
        f"  title {label(title)}",
        f"  x-axis {label(wanted.x)} {_digits(span[0])} --> {_digits(span[1])}",
        f"  y-axis {label(wanted.y)} {low} --> {high}",
        *(f"  line [{', '.join(line)}]" for line in lines),
    ]
    return block("\n".join(body), "mermaid")


def _span(xs: list[float]) -> tuple[float, float] | None:
    return (min(xs), max(xs)) if xs and max(xs) > min(xs) else None


def _resampled(points: Points, span: tuple[float, float], steps: bool) -> list[float]:
    """The line at evenly spaced x, for that is where Mermaid puts the numbers it is given."""
    low, high = span
    return [_at(points, low + (high - low) * place / (SHOWN - 1), steps) for place in range(SHOWN)]


def _at(points: Points, x: float, steps: bool) -> float:
    after = bisect_right(points, (x, float("inf")))
    if after == 0:
        return points[0][1]
    if after == len(points) or steps:
        return points[after - 1][1]
    (x0, y0), (x1, y1) = points[after - 1], points[after]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def _bounds(ys: list[float], *, steps: bool) -> tuple[str, str]:
    low, high = (0.0, 1.0) if steps else (min(ys), max(ys))
    return _digits(low), _digits(high if high > low else low + 1.0)


def _digits(value: float) -> str:
    """Fixed digits: Mermaid rejects `1e-3`. Less than a drawing can show is 0, not three hundred zeros."""
    return f"{Decimal(f'{value:.5g}').normalize():f}" if abs(value) >= SMALLEST else "0"


CONFUSION = "Confusion"
MARGINS = {"left": 0.2, "right": 0.96, "bottom": 0.17, "top": 0.9}
"""Of a chart: to let matplotlib find them takes as long as to draw it."""
DRAWINGS_COLOURS = ("#0072b2", "#d55e00", "#009e73")


def drawings_chart(wanted: Chart) -> str:
    """A chart as a `data:` address of an SVG image."""
    return _address(_chart(wanted))


def confusion(counts: Confusion) -> str:
    """A confusion matrix as a `data:` address of an SVG image: rows what was true, columns what was said."""
    return _address(_drawings_confusion(counts))


def images(plots: Plots) -> dict[str, bytes]:
    """PNG images by title: each is drawn once, for a page and for a file."""
    made = {drawings_chart.title: _png(_chart(drawings_chart)) for drawings_chart in plots.charts}
    return made | ({CONFUSION: _png(_drawings_confusion(plots.confusion))} if plots.confusion else {})


def address(image: bytes) -> str:
    """A PNG image as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(image).decode()


def file_names(made: Iterable[str]) -> dict[str, str]:
    """Title -> file name, such as `1-roc.png`."""
    slugs = {title: re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] for title in made}
    return {
        title: f"{place}-{slug}.png" if slug else f"{place}.png" for place, (title, slug) in enumerate(slugs.items(), 1)
    }


def _chart(wanted: Chart) -> Any:
    figure, axes = _figure(4.1, 3.0, MARGINS)
    for curve, colour in zip(wanted.curves, DRAWINGS_COLOURS, strict=False):
        xs, ys = zip(*curve.points, strict=True)
        axes.plot(
            xs, ys, color=colour, label=curve.name, linewidth=1.8, drawstyle="steps-post" if wanted.steps else "default"
        )
    if wanted.steps:
        axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1, label="chance")
    axes.set(title=_plain(wanted.title), xlabel=_plain(wanted.x), ylabel=_plain(wanted.y))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def _drawings_confusion(counts: Confusion) -> Any:
    figure, axes = _figure(3.3, 3.0)
    cells = [[counts.tp, counts.fn], [counts.fp, counts.tn]]
    shares = [[value / (sum(row) or 1) for value in row] for row in cells]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, values in enumerate(cells):
        for column, value in enumerate(values):
            dark = shares[row][column] > 0.5
            axes.text(column, row, f"{value:g}", ha="center", va="center", color="white" if dark else "black", size=14)
    axes.set_xticks([0, 1], ["said yes", "said no"])
    axes.set_yticks([0, 1], ["is", "is not"])
    axes.set_title(CONFUSION)
    return figure


def histogram(title: str, unit: str, span: tuple[float, float], counts: dict[str, tuple[int, ...]]) -> str:
    """Histograms of one signal laid on one another, each as shares of its own values, as a `data:` address."""
    figure, axes = _figure(4.1, 2.6)
    low, high = span
    for (name, bins), colour in zip(counts.items(), DRAWINGS_COLOURS, strict=False):
        edges = [low + (high - low) * place / len(bins) for place in range(len(bins) + 1)]
        total = sum(bins) or 1
        shares = [count / total for count in bins]
        axes.stairs(shares, edges, color=colour, label=_plain(name), linewidth=1.8)
    axes.set(title=_plain(title), xlabel=_plain(unit if unit != "1" else ""), ylabel="share of values")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return _address(figure)


def balance(title: str, counts: dict[str, dict[str, int]]) -> str:
    """Shares of each label, a bar for each split, as a `data:` address."""
    figure, axes = _figure(4.1, 2.6)
    values = sorted({value for split in counts.values() for value in split})[:12]
    width = 0.8 / max(len(counts), 1)
    for number, ((name, found), colour) in enumerate(zip(counts.items(), DRAWINGS_COLOURS, strict=False)):
        total = sum(found.values()) or 1
        places = [place + (number - (len(counts) - 1) / 2) * width for place in range(len(values))]
        axes.bar(places, [found.get(value, 0) / total for value in values], width, color=colour, label=_plain(name))
    axes.set_xticks(range(len(values)), [_plain(value[:16]) for value in values])
    axes.set(title=_plain(title), ylabel="share of rows")
    axes.grid(alpha=0.25, axis="y")
    axes.legend(frameon=False)
    return _address(figure)


def _figure(width: float, height: float, margins: Mapping[str, float] | None = None) -> tuple:
    # The object interface: no pyplot, so no display is looked for and no figure outlives us.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=None if margins else "constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    if margins:
        figure.subplots_adjust(**margins)
    return figure, axes


def _address(figure: object) -> str:
    import matplotlib as mpl

    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "beampermit", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})  # type: ignore[attr-defined]
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode()


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150, metadata={"Software": None})
    return stream.getvalue()


def _plain(text: str) -> str:
    """A dollar sign would start matplotlib's own mathematics."""
    return text.replace("$", r"\$")
