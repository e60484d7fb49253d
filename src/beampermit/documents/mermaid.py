"""Charts in the part of Mermaid that GitHub draws: linear axes, plain digits, no legend."""

from __future__ import annotations

import re
from bisect import bisect_right
from decimal import Decimal

from beampermit.documents.charts import Chart, Points
from beampermit.documents.markdown import Markdown, block, visible

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
