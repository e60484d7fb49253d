"""The value of a workflow expression, as far as the inputs and the matrix determine it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN: Any = object()
"""A value that only GitHub knows: a variable, an output, a function call."""
_EXPRESSION = re.compile(r"\$\{\{\s*(?P<json>fromJSON\()?(?P<operands>[^{}()]*?)(?(json)\))\s*\}\}")
_OPERAND = re.compile(r"(?P<context>inputs|matrix)\.(?P<name>[\w-]+)|'(?P<text>[^']*)'")


_WHOLE = re.compile(r"\$\{\{((?:'[^']*'|[^'])*?)\}\}", re.DOTALL)
_INDEX = re.compile(r"\s*\[\s*'([\w-]+)'\s*\]")
_QUOTED = re.compile(r"'[^']*'")


def expressions_in(value: Any) -> list[str]:
    """The expressions in a text, as `a.b` where `a['b']` is written, without spaces and the texts in quotes."""
    codes = (_INDEX.sub(r".\1", match[1]) for match in _WHOLE.finditer(str(value)))
    return ["".join(_QUOTED.sub("''", code).split()) for code in codes]


@dataclass(frozen=True)
class MatrixValues:
    """All values that a matrix gives one name."""

    values: tuple[Any, ...]


def resolve(value: Any, inputs: Mapping[str, Any], matrix: Mapping[str, Any] | None = None) -> Any:
    """`value` with its `inputs` and `matrix` filled in; `UNKNOWN` where they do not determine it."""
    if not isinstance(value, str) or "${{" not in value:
        return value
    expression = _EXPRESSION.fullmatch(value.strip())
    if expression is None:
        return UNKNOWN
    result = _first_non_empty(expression["operands"], inputs, matrix or {})
    if result is UNKNOWN or not expression["json"]:
        return result
    try:
        return json.loads(result)
    except (TypeError, ValueError, RecursionError):
        return UNKNOWN


def _first_non_empty(operands: str, inputs: Mapping[str, Any], matrix: Mapping[str, Any]) -> Any:
    """The value of `a || b`."""
    value: Any = ""
    for operand in operands.split("||"):
        match = _OPERAND.fullmatch(operand.strip())
        if match is None:
            return UNKNOWN
        if match["text"] is not None:
            value = match["text"]
        elif match["context"] == "matrix":
            value = _matrix_values(matrix, match["name"])
        else:
            value = inputs.get(match["name"].lower(), UNKNOWN)
        if value:
            return value
    return value


def _matrix_values(matrix: Mapping[str, Any], name: str) -> Any:
    values, include = matrix.get(name, ()), matrix.get("include", ())
    if not isinstance(values, list | tuple) or not isinstance(include, list | tuple):
        return UNKNOWN
    included = [entry[name] for entry in include if isinstance(entry, Mapping) and name in entry]
    return MatrixValues((*values, *included)) if values or included else UNKNOWN
