"""Whether the GPUs of this machine meet the contract, and which tests ask for one."""

from __future__ import annotations

import ast
from pathlib import Path

from beampermit.contract.part import version
from beampermit.contract.software import Gpu
from beampermit.environments.platforms import Gpus
from beampermit.verdicts.verdict import Location


def find_shortfall(required: Gpu, driver: str, seen: Gpus) -> str:
    """Why the machine does not meet the contract; empty if it does. Every GPU that torch sees must meet it."""
    if required.driver and version(driver) < version(required.driver):
        return f"the driver is {driver}, older than {required.driver}"
    for device in seen.devices:
        if version(device.capability) < version(required.capability):
            return f"{device.name} has compute capability {device.capability}, less than {required.capability}"
        if required.memory and device.memory < required.memory:
            return f"{device.name} has {device.memory:.0f} MiB, less than {required.memory:.0f}"
    return ""


def find_marks(root: Path, name: str) -> list[Location]:
    """Where `pytest.mark.<name>` is used below `tests`; nothing is imported."""
    return [
        Location(file=file.relative_to(root).as_posix(), line=node.lineno)
        for file in sorted((root / "tests").rglob("*.py"))
        for node in ast.walk(_parsed(file))
        if isinstance(node, ast.Attribute) and node.attr == name and _is_mark(node.value)
    ]


def _is_mark(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "mark"


def _parsed(file: Path) -> ast.AST:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module(body=[], type_ignores=[])  # pytest reports it better
