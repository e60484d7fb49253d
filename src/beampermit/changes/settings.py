"""What a pull request changes in parameters and in the pipeline's stages."""

from __future__ import annotations

from typing import Any

from beampermit.changes.base_and_head import Sides
from beampermit.changes.flat import Move, moves
from beampermit.errors import BadInput
from beampermit.reading import parse_yaml

FILES = ("params.yaml", "dvc.yaml")


def settings(sides: Sides) -> dict[str, tuple[Move, ...]]:
    """Moved keys of each file that has some. Raises `BadInput` for a file of the work tree that cannot be read."""
    found = {name: moves(_before(sides, name), _after(sides, name)) for name in FILES}
    return {name: moved for name, moved in found.items() if moved}


def _before(sides: Sides, name: str) -> Any:
    text = sides.before(name)
    try:
        return (parse_yaml(text, name) if text is not None else None) or {}
    except BadInput:
        return {}


def _after(sides: Sides, name: str) -> Any:
    text = sides.after(name)
    return (parse_yaml(text, name) if text is not None else None) or {}
