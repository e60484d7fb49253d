"""What an expression stands for, as far as files can tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

UNKNOWN: Any = object()
"""A value that only GitHub knows: a variable, an output, a calculation."""
_EXPRESSION = re.compile(r"\$\{\{\s*(?P<json>fromJSON\()?(?P<choices>[^{}()]*?)(?(json)\))\s*\}\}")
_NAMED = re.compile(r"(?P<kind>inputs|matrix)\.(?P<name>[\w-]+)|'(?P<text>[^']*)'")
_HOSTED = re.compile(r"(ubuntu|windows|macos)-(latest|\d+(\.\d+)?)(-(arm|intel|large|xlarge|slim|vs\d+))*")


def resolve(value: Any, inputs: Mapping[str, Any], matrix: Mapping[str, Any] | None = None) -> Any:
    """A value of a workflow with what `inputs` and `matrix` say put in; `UNKNOWN` where they do not."""
    if not isinstance(value, str) or "${{" not in value:
        return value
    found = _EXPRESSION.fullmatch(value.strip())
    held = _first(found["choices"], inputs, matrix or {}) if found else UNKNOWN
    if held is UNKNOWN or not found or not found["json"]:
        return held
    try:
        return json.loads(held)
    except (TypeError, ValueError, RecursionError):
        return UNKNOWN


def _first(choices: str, inputs: Mapping[str, Any], matrix: Mapping[str, Any]) -> Any:
    """`a || b`: the first that is not empty."""
    held: Any = ""
    for choice in choices.split("||"):
        named = _NAMED.fullmatch(choice.strip())
        if named is None:
            return UNKNOWN
        if named["text"] is not None:
            held = named["text"]
        else:
            name = named["name"]
            held = _varied(matrix, name) if named["kind"] == "matrix" else inputs.get(name, UNKNOWN)
        if held:
            return held
    return held


def is_hosted(runs_on: Any, inputs: Mapping[str, Any], matrix: Mapping[str, Any] | None) -> bool:
    """Whether GitHub's own machines run it, for sure: a new one for each job, with nothing on it worth reaching."""
    labels = resolve(runs_on, inputs, matrix)
    choices = labels.choices if isinstance(labels, Varied) else (labels,)
    return bool(choices) and all(_is_hosted(choice, inputs, matrix) for choice in choices)


def _is_hosted(labels: Any, inputs: Mapping[str, Any], matrix: Mapping[str, Any] | None) -> bool:
    if isinstance(labels, str):
        return _HOSTED.fullmatch(labels) is not None
    if isinstance(labels, list):
        return len(labels) == 1 and is_hosted(labels[0], inputs, matrix)
    return False


class Varied:
    """The values that a matrix gives one name."""

    def __init__(self, choices: tuple[Any, ...]):
        self.choices = choices


def _varied(matrix: Mapping[str, Any], name: str) -> Any:
    listed, more = matrix.get(name, ()), matrix.get("include", ())
    if not isinstance(listed, list | tuple) or not isinstance(more, list | tuple):
        return UNKNOWN
    added = tuple(one[name] for one in more if isinstance(one, Mapping) and name in one)
    return Varied((*listed, *added)) if listed or added else UNKNOWN
