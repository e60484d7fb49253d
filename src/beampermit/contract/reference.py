"""The contract key by key, as Markdown, from the models themselves: `docs/contract.md` is this text."""

from __future__ import annotations

from typing import Any

from beampermit.contract.schema import contract_schema


def contract_reference() -> str:
    """A table of keys for each part of the contract, in the order of the file."""
    schema = contract_schema()
    parts: dict[str, dict[str, Any]] = {}
    _collect(schema, "contract.yaml", schema["$defs"], parts)
    sections = [_section(name, part, schema["$defs"]) for name, part in parts.items()]
    opening = "# The contract, key by key\n\nMade by `beampermit contract reference`. An unknown key is an error that names the nearest known one.\n"
    return "\n".join([opening, *sections])


def _collect(part: dict[str, Any], name: str, known: dict[str, Any], parts: dict[str, dict[str, Any]]) -> None:
    parts[name] = part
    for key, value in part.get("properties", {}).items():
        model = _model(value)
        path = key if name == "contract.yaml" else f"{name}.{key}"
        if model and known[model] not in parts.values():
            _collect(known[model], path + ("[]" if value.get("type") == "array" else ""), known, parts)


def _section(name: str, part: dict[str, Any], known: dict[str, Any]) -> str:
    required = part.get("required", [])
    rows = [
        f"| `{key}` | {_kind(value, known)} | {_default(key, value, required)} | {_line(value.get('description', ''))} |"
        for key, value in part.get("properties", {}).items()
    ]
    table = "\n".join(["| key | kind | default | meaning |", "|---|---|---|---|", *rows])
    return f"## `{name}`\n\n{_line(part.get('description', ''))}\n\n{table}\n"


def _model(value: dict[str, Any]) -> str | None:
    """The name of the model that a value is, or a list of."""
    for place in (value, value.get("items", {}), *value.get("anyOf", [])):
        if "$ref" in place:
            return place["$ref"].rsplit("/", 1)[1]
    return None


def _kind(value: dict[str, Any], known: dict[str, Any]) -> str:
    model = _model(value)
    if model:
        return f"list of {model}" if value.get("type") == "array" else model
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return " or ".join(f"`{word}`" for word in value["enum"])
    if "anyOf" in value:
        return next(_kind(kind, known) for kind in value["anyOf"] if kind.get("type") != "null")
    if "prefixItems" in value:
        return " and ".join(_kind(item, known) for item in value["prefixItems"])
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}), known)}"
    kinds = value.get("type", "any")
    return "duration" if kinds == ["number", "string"] else str(value.get("format", kinds))


def _default(key: str, value: dict[str, Any], required: list[str]) -> str:
    if key in required:
        return "required"
    default = value.get("default")
    return "" if default in (None, "", [], {}) else f"`{default}`"


def _line(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
