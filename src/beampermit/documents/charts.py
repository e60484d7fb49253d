"""Charts of a document, drawn twice: by GitHub from Mermaid, and by matplotlib for the HTML page."""

from __future__ import annotations

import base64
import io
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from beampermit.documents.markdown import Markdown, block, visible
from beampermit.documents.plots import Chart, Confusion, Plots, Points

COLOURS = (("blue", "#0072b2"), ("orange", "#d55e00"), ("green", "#009e73"))
CONFUSION = "Confusion"
MARGINS = {"left": 0.2, "right": 0.96, "bottom": 0.17, "top": 0.9}
"""Of a chart; finding them takes matplotlib as long as drawing."""
PALETTE = tuple(code for _, code in COLOURS)
SMALLEST = 1e-12
SHOWN = 40
"""Points of a Mermaid line: a comment is narrow, and a diagram has at most 50,000 characters."""


def label(value: object) -> str:
    """`value` as a quoted label: quotes, brackets, `#` and other signs of Mermaid's own become spaces."""
    plain = re.sub(r"[^\w .,:/()+-]|--+|::+", " ", visible(value, limit=80))
    return f'"{" ".join(plain.split())}"'


def mermaid_chart(chart: Chart) -> Markdown:
    """A fenced `xychart-beta`. The title names the colours, because Mermaid draws no legend."""
    curves = [curve for curve in chart.curves if len(curve.points) > 1]
    span = _span([x for curve in curves for x, _ in curve.points])
    if not curves or span is None:
        return Markdown()
    colours = COLOURS[: len(curves)]
    names = ", ".join(f"{colour} {curve.name}" for (colour, _), curve in zip(colours, curves, strict=False))
    title = f"{chart.title}: {names}" if len(curves) > 1 else chart.title
    lines = [[_digits(y) for y in _resampled(curve.points, span, chart.steps)] for curve in curves[: len(colours)]]
    low, high = _bounds([float(y) for line in lines for y in line], steps=chart.steps)
    body = [
        '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "'
        + ", ".join(code for _, code in colours)
        + '"}}}}%%',
        "xychart-beta",
        f"  title {label(title)}",
        f"  x-axis {label(chart.x)} {_digits(span[0])} --> {_digits(span[1])}",
        f"  y-axis {label(chart.y)} {low} --> {high}",
        *(f"  line [{', '.join(line)}]" for line in lines),
    ]
    return block("\n".join(body), "mermaid")


def _span(xs: list[float]) -> tuple[float, float] | None:
    return (min(xs), max(xs)) if xs and max(xs) > min(xs) else None


def _resampled(points: Points, span: tuple[float, float], steps: bool) -> list[float]:
    """The curve at evenly spaced x, which is where Mermaid draws the numbers of a line."""
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
    """Without exponent, which Mermaid rejects; a number too small to be drawn is 0."""
    return f"{Decimal(f'{value:.5g}').normalize():f}" if abs(value) >= SMALLEST else "0"


def chart_svg(chart: Chart) -> str:
    """A chart as a `data:` address of an SVG image."""
    return _svg_address(_draw_chart(chart))


def confusion_svg(counts: Confusion) -> str:
    """A confusion matrix as a `data:` address of an SVG image: rows are the truth, columns the prediction."""
    return _svg_address(_draw_confusion(counts))


def png_images(plots: Plots) -> dict[str, bytes]:
    """PNG images by title, for the page and for files."""
    made = {chart.title: _png(_draw_chart(chart)) for chart in plots.charts}
    return made | ({CONFUSION: _png(_draw_confusion(plots.confusion))} if plots.confusion else {})


def png_address(image: bytes) -> str:
    """A PNG image as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(image).decode()


def file_names(made: Iterable[str]) -> dict[str, str]:
    """Title -> file name, such as `1-roc.png`."""
    slugs = {title: re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] for title in made}
    return {
        title: f"{place}-{slug}.png" if slug else f"{place}.png" for place, (title, slug) in enumerate(slugs.items(), 1)
    }


def _draw_chart(chart: Chart) -> Any:
    figure, axes = _figure(4.1, 3.0, MARGINS)
    for curve, colour in zip(chart.curves, PALETTE, strict=False):
        xs, ys = zip(*curve.points, strict=True)
        axes.plot(
            xs, ys, color=colour, label=curve.name, linewidth=1.8, drawstyle="steps-post" if chart.steps else "default"
        )
    if chart.steps:
        axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1, label="chance")
    axes.set(title=_plain(chart.title), xlabel=_plain(chart.x), ylabel=_plain(chart.y))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def _draw_confusion(counts: Confusion) -> Any:
    figure, axes = _figure(3.3, 3.0)
    cells = [[counts.tp, counts.fn], [counts.fp, counts.tn]]
    shares = [[value / (sum(row) or 1) for value in row] for row in cells]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, values in enumerate(cells):
        for column, value in enumerate(values):
            dark = shares[row][column] > 0.5
            axes.text(column, row, f"{value:g}", ha="center", va="center", color="white" if dark else "black", size=14)
    axes.set_xticks([0, 1], ["predicted positive", "predicted negative"])
    axes.set_yticks([0, 1], ["positive", "negative"])
    axes.set_title(CONFUSION)
    return figure


def histogram_svg(title: str, unit: str, span: tuple[float, float], counts: dict[str, tuple[int, ...]]) -> str:
    """Histograms of one signal, one a split, over one another, as a `data:` address; bins as shares of all values."""
    figure, axes = _figure(4.1, 2.6)
    low, high = span
    for (name, bins), colour in zip(counts.items(), PALETTE, strict=False):
        edges = [low + (high - low) * place / len(bins) for place in range(len(bins) + 1)]
        total = sum(bins) or 1
        shares = [count / total for count in bins]
        axes.stairs(shares, edges, color=colour, label=_plain(name), linewidth=1.8)
    axes.set(title=_plain(title), xlabel=_plain(unit if unit != "1" else ""), ylabel="share of values")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return _svg_address(figure)


def balance_svg(title: str, counts: dict[str, dict[str, int]]) -> str:
    """The share of each label in each split, as bars, as a `data:` address."""
    figure, axes = _figure(4.1, 2.6)
    values = sorted({value for split in counts.values() for value in split})[:12]
    width = 0.8 / max(len(counts), 1)
    for number, ((name, of_split), colour) in enumerate(zip(counts.items(), PALETTE, strict=False)):
        total = sum(of_split.values()) or 1
        places = [place + (number - (len(counts) - 1) / 2) * width for place in range(len(values))]
        axes.bar(places, [of_split.get(value, 0) / total for value in values], width, color=colour, label=_plain(name))
    axes.set_xticks(range(len(values)), [_plain(value[:16]) for value in values])
    axes.set(title=_plain(title), ylabel="share of rows")
    axes.grid(alpha=0.25, axis="y")
    axes.legend(frameon=False)
    return _svg_address(figure)


def _figure(width: float, height: float, margins: Mapping[str, float] | None = None) -> tuple:
    # Without pyplot, which looks for a display and keeps every figure.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=None if margins else "constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    if margins:
        figure.subplots_adjust(**margins)
    return figure, axes


def _svg_address(figure: object) -> str:
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
    """Without mathematics: matplotlib reads a dollar sign as its beginning."""
    return text.replace("$", r"\$")
