"""How far two values may differ: a number in their unit, or a percentage, so that each has a limit of its own."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator

PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?|\d(?:\.\d+)?e-\d{1,2})\s*%")
SAME = "0.0001%"
"""Rounding: what is allowed where a metric says nothing else."""
RELATIVE = 1e-6
"""Two scores that differ by less than this part of them are the same, where no tolerance allows more."""
NEAR = "0.01%"
"""What is allowed where an output says nothing else, as a part of its span."""


def _read(value: Any) -> Any:
    if isinstance(value, str):
        match = PERCENT.fullmatch(value.strip())
        if match is None or float(match[1]) > 100:
            raise ValueError("a tolerance is a number in the unit, or a percentage of at most 100%, such as 2%")
        return f"{Decimal(match[1]).normalize():f}%"
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 <= value < math.inf):
        raise ValueError("a tolerance is a number in the unit that is not negative, or a percentage, such as 2%")
    return float(value)


Tolerance = Annotated[float | str, BeforeValidator(_read)]
"""Such as 0.02, in the unit of the value, or `2%`."""


def allowed(tolerance: float | str, scale: float) -> float:
    """The largest difference, where `scale` is what a percentage is of. A percentage of zero allows nothing."""
    return float(tolerance[:-1]) / 100 * abs(scale) if isinstance(tolerance, str) else tolerance


def in_words(tolerance: float | str, scale: float) -> str:
    """`0.02`, `2% of 0.97`, or that a percentage of zero is nothing."""
    if not isinstance(tolerance, str):
        return f"{tolerance:g}"
    nothing = " (nothing: give a number instead)" if not scale and tolerance != "0%" else ""
    return f"{tolerance} of {abs(scale):.4g}{nothing}"


def is_larger(before: float | str, after: float | str) -> bool:
    """Whether `after` may allow more: of a number and a percentage nobody can tell."""
    if isinstance(before, str) is not isinstance(after, str):
        return True
    return allowed(before, 1.0) < allowed(after, 1.0)
