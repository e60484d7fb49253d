"""Adds the indexes of a lock to the contract; every other line stays unchanged."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME, load_contract, parse_contract
from beampermit.errors import BadInput
from beampermit.files import write_text


def record_indexes(root: Path, addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Add the `addresses` that are missing to `environment.indexes` of the contract; give those that were added.

    Others stay: a laboratory may allow more than one lock uses. Raises `BadInput` where the contract is broken, or laid
    out so that only a person can add a line.
    """
    contract = load_contract(root)
    new = tuple(address for address in addresses if address not in contract.environment.indexes)
    if not new:
        return ()
    path = root / FILE_NAME
    text = path.read_text(encoding="utf-8")
    edited = _added(text, new)
    environment = contract.environment.model_copy(update={"indexes": (*contract.environment.indexes, *new)})
    if edited is None or parse_contract(edited, path) != contract.model_copy(update={"environment": environment}):
        raise BadInput(f"add {', '.join(new)} to environment.indexes by hand: its layout is not supported", file=path)
    write_text(path, edited)
    return new


def _added(text: str, new: tuple[str, ...]) -> str | None:
    """The text with `new` in its list; None where the layout of the list is not supported."""
    from ruamel.yaml import YAML

    tree: Any = YAML(typ="rt").load(text)
    lines = text.splitlines(keepends=True)
    items = [json.dumps(address, ensure_ascii=False) for address in new]
    environment = tree.get("environment")
    if environment is None:
        end = "" if text.endswith("\n") else "\n"
        return f"{text}{end}environment:\n  indexes:\n" + "".join(f"    - {item}\n" for item in items)
    if environment.fa.flow_style():
        return None
    if "indexes" not in environment:
        indent = " " * environment.lc.col
        after, _ = environment.lc.key(list(environment)[-1])
        if after + 1 < len(lines) and lines[after + 1].startswith(f"{indent} "):
            after, _ = tree.lc.key("environment")  # The last value spans several lines: insert before the first key.
        return _insert(lines, after + 1, [f"{indent}indexes:", *(f"{indent}  - {item}" for item in items)])
    line, column = environment.lc.key("indexes")
    indexes = environment["indexes"]
    if indexes and not indexes.fa.flow_style():
        last, _ = indexes.lc.item(len(indexes) - 1)
        dash = re.match(r"\s*", lines[last])
        return _insert(lines, last + 1, [f"{dash[0] if dash else ''}- {item}" for item in items])
    return _in_brackets(lines, line, column, items)


def _in_brackets(lines: list[str], line: int, column: int, items: list[str]) -> str | None:
    match = re.fullmatch(r"(\s*indexes:\s*)\[(.*)\](\s*(?:#.*)?\n?)", lines[line])
    if not match:
        return None
    if not match[2].strip():
        indent = " " * column
        tail = match[3].strip()
        head = f"{indent}indexes:  {tail}" if tail else f"{indent}indexes:"
        return _insert(lines[:line] + lines[line + 1 :], line, [head, *(f"{indent}  - {item}" for item in items)])
    lines[line] = f"{match[1]}[{', '.join((match[2].strip(), *items))}]{match[3]}"
    return "".join(lines)


def _insert(lines: list[str], at: int, new: list[str]) -> str:
    return "".join((*lines[:at], *(f"{line}\n" for line in new), *lines[at:]))
