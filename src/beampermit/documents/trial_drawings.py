"""Drawings of a study, as SVG in the page itself: they take its colours, in light and in dark, and need no library.

Every text is escaped here; nothing else of a study gets into the markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from beampermit.documents.markdown import number, visible

WIDTH = 420
"""Narrow, so that a telephone shows the letters large enough."""
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 10, 34
ROW = 54
"""Height of an axis of the parallel coordinates."""
BAR = 22
LONGEST = 26
"""Characters of a name in a drawing."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`; `log` only where both are above 0."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, values: Sequence[float], log: bool | None = None) -> Axis:
        """Of all values; logarithmic as said, else where a few are so large that all others would look alike."""
        low, high = min(values), max(values)
        if log is None:
            log = low > 0 and high / 20 > sorted(values)[len(values) // 2]
        log = log and low > 0
        if low == high:
            margin = abs(low) * 0.1 or 1.0
            return cls(low - margin, high + margin)
        return cls(low, high, log)

    def place(self, value: float) -> float:
        """Of a value, from 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        half = self.high / 2 - self.low / 2  # the whole may be larger than any number
        return (value / 2 - self.low / 2) / half if half else 0.5

    def ticks(self) -> list[float]:
        """Round values, two to six."""
        if self.log:
            return _decades(self.low, self.high)
        span = self.high - self.low
        if not math.isfinite(span) or not span:
            return [self.low, self.high]
        raw = span / 5
        unit = 10.0 ** math.floor(math.log10(raw))
        step = unit * next(part for part in (1, 2, 2.5, 5, 10) if part * unit >= raw)
        first = math.ceil(self.low / step)
        found = [place * step for place in range(first, first + 7) if place * step <= self.high]
        return found or [self.low, self.high]


def history(values: Sequence[Point], best: Sequence[Point], name: str, log: bool | None = None) -> str:
    """A dot for each trial (number, value), and a line of the best so far."""
    across = Axis(0.0, max([1.0, *(place for place, _ in values)]))
    up = Axis.around([value for _, value in values], log)
    height = 240

    def at(point: Point) -> Point:
        return _x(across.place(point[0])), _y(up.place(point[1]), height)

    steps = [at(best[0])]
    for point in best[1:]:
        x, y = at(point)
        steps += [(x, steps[-1][1]), (x, y)]
    steps.append((_x(1), steps[-1][1]))
    parts = [*_frame(across, up, "trial", name, height), _dots(map(at, values), "dot"), _line(steps, "lead")]
    return _svg(parts, height, f"{visible(name)} of each trial, and the best so far")


def front(others: Sequence[Point], best: Sequence[Point], names: tuple[str, str]) -> str:
    """Dots by two objectives; those of the front stand out."""
    both = [*others, *best]
    across, up = Axis.around([x for x, _ in both]), Axis.around([y for _, y in both])
    height = 260

    def at(point: Point) -> Point:
        return _x(across.place(point[0])), _y(up.place(point[1]), height)

    parts = [*_frame(across, up, *names, height), _dots(map(at, others), "dot"), _dots(map(at, best), "top")]
    return _svg(parts, height, f"trials by {visible(names[0])} and {visible(names[1])}, and the front among them")


def importance(shares: Mapping[str, float]) -> str:
    """A bar for each parameter."""
    most = max(shares.values(), default=0) or 1
    parts = []
    for row, (name, share) in enumerate(shares.items()):
        y = 6 + BAR * row
        width = max(1.0, (WIDTH - 220) * share / most)
        parts += [
            _text(162, y + 13, _short(name), "end"),
            f'<rect class="bar" x="170" y="{y}" width="{width:.1f}" height="{BAR - 6}"/>',
            _text(176 + width, y + 13, f"{share:.0%}", "start", "dim"),
        ]
    return _svg(parts, 12 + BAR * len(shares), "importance of each parameter")


@dataclass(frozen=True)
class Scale:
    """One axis of the parallel coordinates, with the words at its ends."""

    name: str
    low: str
    high: str


def parallel(scales: Sequence[Scale], lines: Sequence[Sequence[float | None]], best: int) -> str:
    """A line for each trial through all axes, which lie below one another; places are from 0 to 1.

    None is a parameter that was not tried, beside the axis. The first `best` lines stand out, and lie on top.
    """
    height = ROW * len(scales) + 8
    axes, words = [], []
    for row, scale in enumerate(scales):
        y = ROW * row + 24
        axes.append(f'<path class="axis" d="M{_spread(0):.1f} {y}H{_spread(1):.1f}"/>')
        words += [
            _text(_spread(0), y - 9, _short(scale.name), "start"),
            _text(_spread(0), y + 14, _short(scale.low), "start", "dim"),
            _text(_spread(1), y + 14, _short(scale.high), "end", "dim"),
        ]
    drawn = [
        _line([(_spread(place), ROW * row + 24) for row, place in enumerate(line)], "lead" if nth < best else "faint")
        for nth, line in enumerate(lines)
    ]
    return _svg([*axes, *reversed(drawn), *words], height, "parameters and values of trials, the best ones stand out")


def _spread(place: float | None) -> float:
    """Beside the axis, at the left, where there is no value."""
    return 6.0 if place is None else 26 + place * (WIDTH - 40)


def _frame(across: Axis, up: Axis, x_name: str, y_name: str, height: int) -> list[str]:
    parts = [
        f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        f"{_text(LEFT - 6, y + 4, number(tick, 3), 'end', 'dim')}"
        for tick in up.ticks()
        for y in (_y(up.place(tick), height),)
    ]
    parts += [
        f'<path class="grid" d="M{x:.1f} {TOP}V{height - BOTTOM}"/>'
        f"{_text(x, height - BOTTOM + 14, number(tick, 3), 'middle', 'dim')}"
        for tick in across.ticks()
        for x in (_x(across.place(tick)),)
    ]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, height - 4, _short(x_name), "middle"))
    middle = (TOP + height - BOTTOM) / 2
    turned = f'<g transform="translate(12 {middle:.0f}) rotate(-90)">{_text(0, 0, _short(y_name), "middle")}</g>'
    return [*parts, turned]


def _x(place: float) -> float:
    return LEFT + place * (WIDTH - LEFT - RIGHT)


def _y(place: float, height: int) -> float:
    return height - BOTTOM - place * (height - BOTTOM - TOP)


def _dots(points: Iterable[Point], kind: str) -> str:
    """All in one path: a page of ten thousand trials stays small."""
    return f'<path class="{kind}" d="{"".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)}"/>'


def _line(points: Sequence[Point], kind: str) -> str:
    return f'<path class="{kind}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def _text(x: float, y: float, words: str, anchor: str, kind: str = "") -> str:
    said = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{said}>{escape(words)}</text>'


def _short(name: str) -> str:
    return visible(name, limit=LONGEST)


def _svg(parts: Iterable[str], height: int, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _decades(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    every = max(1, -(-(last - first) // 5))
    found = [10.0**power for power in range(first, last + 1, every)]
    return found if len(found) > 1 else [low, *found, high]
