"""Charts drawn by matplotlib: as SVG that stands inside a page, and as PNG files beside it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from beampermit.documents.charts import Chart, Confusion, Plots

CONFUSION = "Confusion"
MARGINS = {"left": 0.2, "right": 0.96, "bottom": 0.17, "top": 0.9}
"""Of a chart: to let matplotlib find them takes as long as to draw it."""
COLOURS = ("#0072b2", "#d55e00", "#009e73")


def chart(wanted: Chart) -> str:
    """A chart as a `data:` address of an SVG image."""
    return _address(_chart(wanted))


def confusion(counts: Confusion) -> str:
    """A confusion matrix as a `data:` address of an SVG image: rows what was true, columns what was said."""
    return _address(_confusion(counts))


def images(plots: Plots) -> dict[str, bytes]:
    """PNG images by title: each is drawn once, for a page and for a file."""
    made = {chart.title: _png(_chart(chart)) for chart in plots.charts}
    return made | ({CONFUSION: _png(_confusion(plots.confusion))} if plots.confusion else {})


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
    for curve, colour in zip(wanted.curves, COLOURS, strict=False):
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


def _confusion(counts: Confusion) -> Any:
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
    for (name, bins), colour in zip(counts.items(), COLOURS, strict=False):
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
    for number, ((name, found), colour) in enumerate(zip(counts.items(), COLOURS, strict=False)):
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
