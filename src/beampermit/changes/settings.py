"""What a pull request changes in parameters and in the pipeline's stages."""

from __future__ import annotations

from typing import Any

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.changes.flat import Change, compare_trees
from beampermit.errors import BadInput
from beampermit.reading import parse_yaml

FILES = ("params.yaml", "dvc.yaml")


def compare_settings(base_and_head: BaseAndHead) -> dict[str, tuple[Change, ...]]:
    """Changed keys of each file that has some. Raises `BadInput` for a file of the work tree that cannot be read."""
    changes = {
        name: compare_trees(_before(base_and_head, name), _parse(base_and_head.after(name), name)) for name in FILES
    }
    return {name: changed for name, changed in changes.items() if changed}


def _before(base_and_head: BaseAndHead, name: str) -> Any:
    try:
        return _parse(base_and_head.before(name), name)
    except BadInput:
        return {}


def _parse(text: str | None, name: str) -> Any:
    return (parse_yaml(text, name) if text is not None else None) or {}
