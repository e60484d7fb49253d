"""Options that many commands take, in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Option("--project", help="The project's folder.", show_default="this folder")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", help="Public key (PEM).", show_default="the project's .github/permit.pub"),
]
