"""Beampermit's own reusable workflows and actions."""

from __future__ import annotations

from pathlib import Path

import beampermit
from beampermit.workflows.workflow import FOLDER


def own_root() -> Path:
    """The folder with `actions` and `.github`: the checkout, or the copy inside the wheel."""
    package = Path(beampermit.__file__).parent
    checkout = package.parents[1]
    return checkout if (checkout / "actions").is_dir() else package / "_source"


def own_workflows() -> dict[str, str]:
    """The reusable workflows that projects call: path -> text."""
    files = sorted((own_root() / FOLDER).glob("ml-*.yml"))
    return {f"{FOLDER}/{file.name}": file.read_text(encoding="utf-8") for file in files}
