"""Numbers as people read them: plain digits, as many as matter."""

from __future__ import annotations

import math
from decimal import Decimal

UNITS = ("B", "kB", "MB", "GB", "TB")


def number(value: float, digits: int = 5) -> str:
    """A number without exponent, with `digits` significant digits where it is small: `0.9812`, `1234`, `0.00003`."""
    if not math.isfinite(value):
        return "not a finite number"
    if value == 0 or (value == int(value) and abs(value) < 1e15):
        return f"{int(value)}"
    if abs(value) >= 1e15 or abs(value) < 1e-12:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    rounded = f"{value:.{places}f}"
    return rounded.rstrip("0").rstrip(".") if "." in rounded else rounded


def exact(value: float) -> str:
    """A number as it was written, every digit, without exponent: limits and gates are never rounded."""
    return f"{Decimal(repr(float(value))).normalize():f}"


def signed(value: float) -> str:
    """A difference, with its sign: `+0.012`, `-0.5`, `0`."""
    shown = number(value, 3)
    return f"+{shown}" if value > 0 else shown


def size(value: float) -> str:
    """Bytes in the largest fitting decimal unit: `12.3 MB`."""
    amount = float(value)
    for unit in UNITS[:-1]:
        if abs(amount) < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} {UNITS[-1]}"


def duration(seconds: float) -> str:
    """Seconds as an operator says them: `50 ms`, `10 s`, `5 min`, `1 h`."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length and seconds % length == 0:
            return f"{number(seconds / length)} {unit}"
    return f"{number(seconds)} s" if seconds >= 1 else f"{number(seconds * 1000)} ms"
