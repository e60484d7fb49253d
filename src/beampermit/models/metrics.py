"""`metrics.json`, read strictly: each number finite, or the file is refused with the reason."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput

LARGEST_FILE = 2**20
INFINITE = sys.float_info.max
"""A model registry gives 1.797e308 back for +inf, so nothing that large is a number here."""


def read_metrics(path: Path, name: Path | str | None = None) -> dict[str, float]:
    """Read a flat JSON object of names and finite numbers; `name` is what errors call the file.

    Raises `BadInput` with file and line: missing, empty, too large, not JSON, a name given twice, or a value that is
    no finite number.
    """
    called = name or path
    return parse_metrics(_text(path, called), called)


def parse_metrics(text: str, called: Path | str) -> dict[str, float]:
    """Metrics of JSON text, such as a file at another commit; `called` is what errors call it. Raises `BadInput`."""
    found: dict[str, float] = {}
    for key, value in _pairs(text, called):
        problem = f"{key!r} is given twice" if key in found else _problem(key, value)
        if problem:
            raise BadInput(problem, file=called, line=line_of(text, key, last=key in found))
        found[key] = float(value)
    if not found:
        raise BadInput("there is no metric in this file", file=called, line=1)
    return found


def line_of(text: str, key: str, *, last: bool = False) -> int | None:
    """The line, from 1, on which `key` first (or last) stands as a key of JSON text; None where it does not."""
    found = [match.start() for match in re.finditer(re.escape(json.dumps(key)) + r"\s*:", text)]
    return text.count("\n", 0, found[-1 if last else 0]) + 1 if found else None


def format_number(number: float, beside: float | None = None) -> str:
    """A number as reasons print it: four digits, or as many as tell it from the one it is printed `beside`."""
    digits = (4, 8, 17)
    if beside is None or beside == number:
        return f"{number:.4g}"
    return next(text for count in digits if (text := f"{number:.{count}g}") != f"{beside:.{count}g}")


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that a key given twice is seen."""


def _text(path: Path, called: Path | str) -> str:
    if not path.is_file():
        raise BadInput("the file is missing", file=called, hint="dvc repro")
    if path.stat().st_size > LARGEST_FILE:
        raise BadInput(f"larger than the {LARGEST_FILE} bytes that metrics may have", file=called)
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"not JSON: not UTF-8 at byte {error.start}", file=called) from None
    if not text.strip():
        raise BadInput("the file is empty", file=called, hint="dvc repro")
    return text


def _pairs(text: str, called: Path | str) -> _Object:
    try:
        # parse_int: an integer of ten thousand digits is infinite here, and no error of the parser's.
        found = json.loads(text, object_pairs_hook=_Object, parse_int=float)
    except json.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error.msg}", file=called, line=error.lineno) from None
    except RecursionError:
        raise BadInput("not metrics: nested too deep", file=called) from None
    if not isinstance(found, _Object):
        raise BadInput("metrics are one flat object of names and numbers", file=called, line=1)
    return found


def _problem(name: str, value: Any) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return f"{name} is NaN, not a finite number"
        if abs(value) >= INFINITE:
            return f"{name} is infinite"
        return ""
    if isinstance(value, str):
        return f"{name} is the text {json.dumps(value[:40])}, not a number"
    if isinstance(value, list):
        return f"{name} is {'an object' if isinstance(value, _Object) else 'a list'}; metrics are flat"
    return f"{name} is {json.dumps(value)}, not a number"
