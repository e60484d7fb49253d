"""Where this Beampermit keeps what is no Python: its reusable workflows and its actions."""

from __future__ import annotations

from pathlib import Path

import beampermit
from beampermit.workflows.workflow import FOLDER


def own_root() -> Path:
    """The folder that holds `actions` and `.github`: the checkout, or what the installed wheel carries."""
    package = Path(beampermit.__file__).parent
    checkout = package.parents[1]
    return checkout if (checkout / "actions").is_dir() else package / "_source"


def own_workflows() -> dict[str, str]:
    """The reusable workflows that projects call: path -> text."""
    files = sorted((own_root() / FOLDER).glob("ml-*.yml"))
    return {f"{FOLDER}/{file.name}": file.read_text(encoding="utf-8") for file in files}
