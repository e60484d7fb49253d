"""Charts of a document as GitHub draws them in a comment: Mermaid diagrams and tables."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal

from beampermit.documents.markdown import Markdown, block, code, number, text, visible
from beampermit.documents.plots import Chart, Cloud, Confusion, Curve, Histogram, Lines, Points

COLOURS = (
    ("blue", "#0072b2"),
    ("orange", "#d55e00"),
    ("green", "#009e73"),
    ("pink", "#cc79a7"),
    ("sky", "#56b4e9"),
    ("yellow", "#e69f00"),
)
SMALLEST = 1e-12
SHOWN = 40
"""Points of a Mermaid line: a comment is narrow, and a diagram has at most 50,000 characters."""
SLICES = 12
"""Slices along x in which the middle and the spread of a cloud are told."""
SPREAD = (("median", 0.5), ("5 %", 0.05), ("95 %", 0.95))


def label(value: object) -> str:
    """`value` as a quoted label: quotes, brackets, `#` and other signs of Mermaid's own become spaces."""
    plain = re.sub(r"[^\w .,:/()%+-]|--+|::+", " ", visible(value, limit=160))
    return f'"{" ".join(plain.split())}"'


def chart(drawn: Chart) -> Markdown:
    """A fenced `xychart-beta`, or a table for a confusion matrix; nothing for what has no extent."""
    match drawn:
        case Confusion():
            return _table(drawn)
        case Cloud():
            return _diagram(drawn.title, drawn.x, drawn.y, _spread(drawn))
        case Histogram():
            return _histogram(drawn)
        case Lines():
            return _diagram(drawn.title, drawn.x, drawn.y, drawn.curves, steps=drawn.steps)


def _diagram(title: str, x: str, y: str, given: Sequence[Curve], *, steps: bool = False) -> Markdown:
    """The title names the colours, because Mermaid draws no legend."""
    curves = [curve for curve in given if len(curve.points) > 1]
    span = _span([x for curve in curves for x, _ in curve.points])
    if not curves or span is None:
        return Markdown()
    colours = COLOURS[: len(curves)]
    lines = [[_digits(y) for y in _resampled(curve.points, span, steps)] for curve in curves]
    low, high = _bounds([float(y) for line in lines for y in line], steps=steps)
    drawn = [f"  line [{', '.join(line)}]" for line in lines]
    titled = f"{title}: {_legend([curve.name for curve in curves])}" if len(curves) > 1 else title
    return _fenced(colours, titled, x, span, y, (low, high), drawn)


def _histogram(histogram: Histogram) -> Markdown:
    edges, shares = histogram.edges, histogram.shares()
    span = (edges[0], edges[-1])
    bins = min(SHOWN, len(edges) - 1)
    centres = [span[0] + (span[1] - span[0]) * (place + 0.5) / bins for place in range(bins)]
    drawn = [
        [_digits(values[min(bisect_right(edges, x), len(values)) - 1]) for x in centres] for values in shares.values()
    ]
    high = max((float(share) for values in drawn for share in values), default=0) or 1.0
    word = "bar" if len(drawn) == 1 else "line"
    title = f"{histogram.title}: {_legend(list(shares))}" if len(drawn) > 1 else histogram.title
    lines = [f"  {word} [{', '.join(values)}]" for values in drawn]
    return _fenced(COLOURS[: len(drawn)], title, histogram.x, span, "share", ("0", _digits(high)), lines)


def _fenced(
    colours: Sequence[tuple[str, str]],
    title: str,
    x: str,
    span: tuple[float, float],
    y: str,
    bounds: tuple[str, str],
    drawn: Sequence[str],
) -> Markdown:
    palette = ", ".join(code for _, code in colours)
    body = [
        f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{palette}"}}}}}}}}%%',
        "xychart-beta",
        f"  title {label(title)}",
        f"  x-axis {label(x)} {_digits(span[0])} --> {_digits(span[1])}",
        f"  y-axis {label(y)} {bounds[0]} --> {bounds[1]}",
        *drawn,
    ]
    return block("\n".join(body), "mermaid")


def _legend(names: Sequence[str]) -> str:
    return ", ".join(f"{colour} {name}" for (colour, _), name in zip(COLOURS, names, strict=False))


def _table(confusion: Confusion) -> Markdown:
    head = "".join(f" {code(name)} |" for name in confusion.classes)
    rows = [
        f"| **truth** {code(name)} |"
        + "".join(f" {number(count)} ({share:.0%}) |" for count, share in zip(counts, shares, strict=True))
        for name, counts, shares in zip(confusion.classes, confusion.counts, confusion.shares(), strict=True)
    ]
    rule = "|---|" + "--:|" * len(confusion.classes)
    return Markdown("\n".join((f"| {text(confusion.title)}, predicted as |{head}", rule, *rows)))


def _spread(cloud: Cloud) -> list[Curve]:
    """Median, 5 % and 95 % of y in slices along x: what a diagram without dots can tell of a cloud."""
    span = _span([x for x, _ in cloud.points])
    if span is None:
        return []
    low, width = span[0], (span[1] - span[0]) / SLICES
    slices: dict[int, list[tuple[float, float]]] = {}
    for (x, y), count in zip(cloud.points, cloud.counts or (1.0,) * len(cloud.points), strict=True):
        slices.setdefault(min(int((x - low) / width), SLICES - 1), []).append((y, count))
    return [
        Curve(
            name=name,
            points=tuple((low + (place + 0.5) * width, _quantile(ys, share)) for place, ys in sorted(slices.items())),
        )
        for name, share in SPREAD
    ]


def _quantile(values: list[tuple[float, float]], share: float) -> float:
    """The smallest value that at least this share of the counts does not exceed."""
    ordered, total, seen = sorted(values), sum(count for _, count in values), 0.0
    for value, count in ordered:
        seen += count
        if seen >= share * total:
            return value
    return ordered[-1][0]


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
