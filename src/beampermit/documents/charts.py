"""Drawings of a document, by matplotlib: for the HTML page, and as files."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from beampermit.documents.mermaid import COLOURS
from beampermit.documents.plots import Chart, Cloud, Confusion, Histogram, Lines, Plots

MARGINS = {"left": 0.2, "right": 0.96, "bottom": 0.17, "top": 0.9}
"""Of a chart; finding them takes matplotlib as long as drawing."""
PALETTE = tuple(code for _, code in COLOURS)
BARS = 12
"""Values of a target that are drawn beside one another."""
LONGEST = 16
"""Characters of a class's name beside a matrix."""


def chart_svg(chart: Chart) -> str:
    """A chart as a `data:` address of an SVG image."""
    return _svg_address(_draw(chart))


def png_images(plots: Plots) -> dict[str, bytes]:
    """PNG images by title, for the page and for files."""
    return {chart.title: _png(_draw(chart)) for chart in plots.charts}


def png_address(image: bytes) -> str:
    """A PNG image as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(image).decode()


def file_names(made: Iterable[str]) -> dict[str, str]:
    """Title -> file name, such as `1-roc.png`."""
    slugs = {title: re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] for title in made}
    return {
        title: f"{place}-{slug}.png" if slug else f"{place}.png" for place, (title, slug) in enumerate(slugs.items(), 1)
    }


def _draw(chart: Chart) -> Any:
    match chart:
        case Lines():
            return _draw_lines(chart)
        case Cloud():
            return _draw_cloud(chart)
        case Histogram():
            return _draw_histogram(chart)
        case Confusion():
            return _draw_confusion(chart)


def _draw_lines(chart: Lines) -> Any:
    figure, axes = _figure(4.1, 3.0, MARGINS)
    for curve, colour in zip(chart.curves, PALETTE, strict=False):
        style = "steps-post" if chart.steps else "default"
        xs, ys = zip(*curve.points, strict=True) if curve.points else ((), ())
        axes.plot(xs, ys, color=colour, label=_plain(curve.name), linewidth=1.8, drawstyle=style)
    if chart.steps:
        axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1, label="chance")
    _finish(axes, chart.title, chart.x, chart.y)
    return figure


def _draw_cloud(chart: Cloud) -> Any:
    """Dots; where they were counted in cells, a shade for how many there are, on a logarithmic scale."""
    figure, axes = _figure(4.1, 3.0)
    xs, ys = zip(*chart.points, strict=True) if chart.points else ((), ())
    if chart.cell:
        from matplotlib.collections import PatchCollection
        from matplotlib.colors import LogNorm
        from matplotlib.patches import Rectangle

        width, height = chart.cell
        cells = [Rectangle((x - width / 2, y - height / 2), width, height) for x, y in chart.points]
        most = max(2.0, *chart.counts)
        shades = PatchCollection(cells, cmap="Blues", norm=LogNorm(0.4, most), array=chart.counts, linewidth=0)
        axes.add_collection(shades)
        bar = figure.colorbar(shades, ax=axes, label="rows in a cell", format="%g")
        bar.ax.set_ylim(1, most)
        axes.autoscale_view()
    else:
        axes.scatter(xs, ys, color=PALETTE[0], s=12, alpha=0.5, linewidth=0)
    axes.margins(0.03)
    if chart.kind == "residuals":
        axes.axhline(0, color="0.35", linestyle="--", linewidth=1)
    if chart.identity and xs:
        ends = [max(min(xs), min(ys)), min(max(xs), max(ys))]
        axes.plot(ends, ends, color="0.35", linestyle="--", linewidth=1, label="equal")
    _finish(axes, chart.title, chart.x, chart.y, legend="upper left" if chart.identity else "")
    return figure


def _draw_histogram(chart: Histogram) -> Any:
    figure, axes = _figure(4.1, 3.0, MARGINS)
    for (name, shares), colour in zip(chart.shares().items(), PALETTE, strict=False):
        axes.stairs(shares, chart.edges, color=colour, label=_plain(name), linewidth=1.8)
        axes.stairs(shares, chart.edges, color=colour, alpha=0.15, fill=True)
    axes.set_ylim(bottom=0)
    _finish(axes, chart.title, chart.x, "share of rows", legend="best" if len(chart.counts) > 1 else "")
    return figure


def _draw_confusion(chart: Confusion) -> Any:
    size = len(chart.classes)
    side = 3.3 + 0.42 * max(0, size - 3)
    figure, axes = _figure(side + 0.6, side)
    shares = chart.shares()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, values in enumerate(chart.counts):
        for column, value in enumerate(values):
            ink = "white" if shares[row][column] > 0.5 else "black" if value else "0.6"
            axes.text(column, row, f"{value:g}", ha="center", va="center", color=ink, size=13 if size <= 4 else 8)
    names = [_plain(_shortened(name)) for name in chart.classes]
    upright = size > 3 or max(map(len, names)) > 10
    axes.set_xticks(range(size), names, rotation=45 if upright else 0, ha="right" if upright else "center")
    axes.set_yticks(range(size), names)
    axes.set(title=_plain(chart.title), xlabel="predicted", ylabel="truth")
    return figure


def _finish(axes: Any, title: str, x: str, y: str, *, legend: str = "best") -> None:
    axes.set(title=_plain(title), xlabel=_plain(x), ylabel=_plain(y))
    axes.grid(alpha=0.25)
    if legend:
        axes.legend(frameon=False, loc=legend)


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


def density_svg(title: str, edges: Sequence[float], shares: dict[str, Sequence[float]]) -> str:
    """Shares in bins of any width, each by its width, one name over another, as a `data:` address."""
    figure, axes = _figure(4.1, 2.6)
    widths = [after - before for before, after in pairwise(edges)]
    for (name, each), colour in zip(shares.items(), PALETTE, strict=False):
        heights = [share / width for share, width in zip(each, widths, strict=True)]
        axes.stairs(heights, edges, color=colour, label=_plain(name), linewidth=1.8)
        axes.stairs(heights, edges, color=colour, alpha=0.15, fill=True)
    axes.set_ylim(bottom=0)
    _finish(axes, title, "", "density")
    return _svg_address(figure)


def balance_svg(title: str, counts: dict[str, dict[str, int]], listed: Sequence[str]) -> str:
    """The share of each value of a target in each split, as bars, as a `data:` address; the first of `listed`."""
    figure, axes = _figure(4.1, 2.6)
    values = listed[:BARS]
    width = 0.8 / max(len(counts), 1)
    for number, ((name, of_split), colour) in enumerate(zip(counts.items(), PALETTE, strict=False)):
        total = sum(of_split.values()) or 1
        places = [place + (number - (len(counts) - 1) / 2) * width for place in range(len(values))]
        axes.bar(places, [of_split.get(value, 0) / total for value in values], width, color=colour, label=_plain(name))
    upright = sum(min(len(value), LONGEST) for value in values) > 40
    names = [_plain(_shortened(value)) for value in values]
    axes.set_xticks(range(len(values)), names, rotation=45 if upright else 0, ha="right" if upright else "center")
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


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _plain(text: str) -> str:
    """Without mathematics: matplotlib reads a dollar sign as its beginning."""
    return text.replace("$", r"\$")
