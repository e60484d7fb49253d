"""`metrics.json`, read strictly: every value is a finite number; and metrics side by side."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.contract import Contract, Metric
from beampermit.errors import BadInput

RECALL = "recall_"
"""Metrics of this prefix tell how many of one kind are found."""
LARGEST_FILE = 2**20
INFINITE = sys.float_info.max
"""MLflow returns 1.797e308 for +inf, so a value that large counts as infinite."""


@dataclass(frozen=True)
class MetricComparison:
    """One metric of the contract; None where a side has none."""

    metric: Metric
    value: float | None
    base: float | None
    champion: float | None

    @property
    def met(self) -> bool:
        """Whether the gate is passed."""
        return self.value is not None and self.metric.met(self.value)


def read_metrics(path: Path, name: Path | str | None = None) -> dict[str, float]:
    """Read a flat JSON object of names and finite numbers; errors call the file `name`.

    Raises `BadInput` with file and line: missing, empty, too large, not JSON, a duplicate name, or a value that is not
    a finite number. An object without names is not an error: a project may leave every metric to the checker.
    """
    file = name or path
    return parse_metrics(_text(path, file), file)


def read_project_metrics(path: Path, name: Path | str, metrics: Iterable[Metric]) -> dict[str, float]:
    """`read_metrics`; empty where there is no such file, and the checker computes each of `metrics` itself.

    Raises `BadInput` where the file has no metric, and the checker does not compute all.
    """
    by_checker = all(metric.measure for metric in metrics)
    if by_checker and not path.exists():
        return {}
    found = read_metrics(path, name)
    if not found and not by_checker:
        raise BadInput("there are no metrics in this file", file=name, line=1)
    return found


def parse_metrics(text: str, file: Path | str) -> dict[str, float]:
    """`read_metrics` of a text, such as a file at another commit; errors call it `file`. Raises `BadInput`."""
    metrics: dict[str, float] = {}
    for key, value in _pairs(text, file):
        problem = f"{key!r} is given twice" if key in metrics else _find_problem(key, value)
        if problem:
            raise BadInput(problem, file=file, line=line_of(text, key, last=key in metrics))
        metrics[key] = float(value)
    return metrics


def line_of(text: str, key: str, *, last: bool = False) -> int | None:
    """The line of the first (or last) `key` of a JSON text, from 1; None where it has no such key."""
    starts = [match.start() for match in re.finditer(re.escape(json.dumps(key)) + r"\s*:", text)]
    return text.count("\n", 0, starts[-1 if last else 0]) + 1 if starts else None


def format_number(number: float, beside: float | None = None) -> str:
    """Four significant digits, or as many as distinguish it from the number it is printed `beside`."""
    digits = (4, 8, 17)
    if beside is None or beside == number:
        return f"{number:.4g}"
    return next(text for count in digits if (text := f"{number:.{count}g}") != f"{beside:.{count}g}")


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs, which keeps duplicate keys."""


def compare_metrics(
    base_contract: Contract, head: Mapping[str, float], base: Mapping[str, float], champion: Mapping[str, float]
) -> tuple[MetricComparison, ...]:
    """The metrics that the base contract names."""
    return tuple(
        MetricComparison(metric, head.get(metric.name), base.get(metric.name), champion.get(metric.name))
        for metric in base_contract.metrics
    )


def _text(path: Path, file: Path | str) -> str:
    if not path.is_file():
        raise BadInput("the file is missing", file=file, hint="dvc repro")
    if path.stat().st_size > LARGEST_FILE:
        raise BadInput(f"larger than {LARGEST_FILE} bytes", file=file)
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"not JSON: not UTF-8 at byte {error.start}", file=file) from None
    if not text.strip():
        raise BadInput("the file is empty", file=file, hint="dvc repro")
    return text


def _pairs(text: str, file: Path | str) -> _Object:
    try:
        # parse_int: a huge integer becomes infinite, where int() would raise.
        pairs = json.loads(text, object_pairs_hook=_Object, parse_int=float)
    except json.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error.msg}", file=file, line=error.lineno) from None
    except RecursionError:
        raise BadInput("not metrics: nested too deeply", file=file) from None
    if not isinstance(pairs, _Object):
        raise BadInput("metrics must be one flat object of names and numbers", file=file, line=1)
    return pairs


def _find_problem(name: str, value: Any) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return f"{name} is NaN, not a finite number"
        if abs(value) >= INFINITE:
            return f"{name} is infinite"
        return ""
    if isinstance(value, str):
        return f"{name} is the text {json.dumps(value[:40])}, not a number"
    if isinstance(value, list):
        return f"{name} is {'an object' if isinstance(value, _Object) else 'a list'}; metrics must be flat"
    return f"{name} is {json.dumps(value)}, not a number"
