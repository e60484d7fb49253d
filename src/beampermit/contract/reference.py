"""The contract key by key as Markdown, made from the models: `docs/contract.md` is this text."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from beampermit.contract.model import Contract
from beampermit.contract.part import Part


def contract_schema() -> dict[str, Any]:
    """A JSON schema (2020-12) with a description at each key."""
    schema = Contract.model_json_schema()
    for model in (Contract, *_models(Part)):
        part = schema if model is Contract else schema["$defs"].get(model.__name__, {})
        descriptions = _descriptions(model)
        for key, value in part.get("properties", {}).items():
            if key in descriptions:
                value["description"] = descriptions[key]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "contract.yaml", **schema}


def _models(base: type[Part]) -> Iterator[type[Part]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _descriptions(model: type[Part]) -> dict[str, str]:
    """Key -> the docstring below it, in the model or a base of it."""
    bases = [base for base in reversed(model.__mro__) if issubclass(base, Part)]
    return {key: text for base in bases for key, text in _in_module(base.__module__).get(base.__name__, {}).items()}


@cache
def _in_module(name: str) -> dict[str, dict[str, str]]:
    """Class -> key -> docstring. That pydantic reads them at each start would take as long as all else."""
    classes = [node for node in ast.parse(inspect.getsource(sys.modules[name])).body if isinstance(node, ast.ClassDef)]
    return {node.name: dict(_below_keys(node)) for node in classes}


def _below_keys(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for line, after in pairwise(node.body):
        match line, after:
            case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str(text))):
                yield key, inspect.cleandoc(text)


def contract_reference() -> str:
    """A table for each part of the contract, in the order of the file."""
    schema = contract_schema()
    parts: dict[str, dict[str, Any]] = {}
    _collect(schema, "contract.yaml", schema["$defs"], parts)
    sections = [_section(name, part, schema["$defs"]) for name, part in parts.items()]
    opening = (
        "# The contract, key by key\n\n"
        "Made by `beampermit contract reference`. A key that is not listed here is an error.\n"
        "The report of a pull request marks a change in the direction of *looser when*, or the removal of such a key.\n"
    )
    return "\n".join([opening, *sections])


def _collect(part: dict[str, Any], name: str, models: dict[str, Any], parts: dict[str, dict[str, Any]]) -> None:
    parts[name] = part
    for key, value in part.get("properties", {}).items():
        model = _model(value)
        path = key if name == "contract.yaml" else f"{name}.{key}"
        if model and models[model] not in parts.values():
            _collect(models[model], path + ("[]" if value.get("type") == "array" else ""), models, parts)


def _section(name: str, part: dict[str, Any], models: dict[str, Any]) -> str:
    required = part.get("required", [])
    rows = [_row(key, value, key in required, models) for key, value in part.get("properties", {}).items()]
    table = "\n".join(["| key | kind | default | looser when | meaning |", "|---|---|---|---|---|", *rows])
    return f"## `{name}`\n\n{_line(part.get('description', ''))}\n\n{table}\n"


def _row(key: str, value: dict[str, Any], required: bool, models: dict[str, Any]) -> str:
    model = _model(value)
    default = "" if model else value.get("default")
    shown = "required" if required else "" if default in (None, "", [], {}) else f"`{default}`"
    meaning = value.get("description") or (models[model].get("description", "") if model else "")
    return f"| `{key}` | {_kind(value, models)} | {shown} | {value.get('looser', '')} | {_line(meaning)} |"


def _model(value: dict[str, Any]) -> str | None:
    """The name of the model that a value is, or is a list of."""
    items = value.get("items", {})
    for place in (value, items, *items.get("anyOf", []), *value.get("anyOf", [])):
        if "$ref" in place:
            return place["$ref"].rsplit("/", 1)[1]
    return None


def _kind(value: dict[str, Any], models: dict[str, Any]) -> str:
    match value:
        case {"$ref": _}:
            kind = "see below"
        case {"items": {"$ref": _} | {"anyOf": _}}:
            kind = "list, see below"
        case {"const": constant}:
            kind = f"`{constant}`"
        case {"enum": choices}:
            kind = " or ".join(f"`{choice}`" for choice in choices)
        case {"anyOf": kinds}:
            kind = " or ".join(_kind(kind, models) for kind in kinds if kind.get("type") != "null")
        case {"prefixItems": items}:
            kind = " and ".join(_kind(item, models) for item in items)
        case {"type": "array"}:
            kind = f"list of {_kind(value.get('items', {}), models)}"
        case {"type": ["number", "string"]}:
            kind = "duration"
        case _:
            kind = str(value.get("format", value.get("type", "any")))
    return kind


def _line(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
