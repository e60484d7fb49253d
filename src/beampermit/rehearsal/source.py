"""The code at hand: this repository's actions and reusable workflows, from a checkout or from the installed wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

import beampermit
from beampermit.github.own import own_root

PARTS = ("template", "actions", ".github/workflows", "cookiecutter.json", "pyproject.toml", "requirements.lock")
"""What a job needs of this repository besides the package itself."""


def lay_out(into: Path) -> Path:
    """Copy what actions need of the repository to `into`, and no more: act copies it whole for each step."""
    package, root = Path(beampermit.__file__).parent, own_root()
    ignore = shutil.ignore_patterns("__pycache__", "_source", "_template")
    shutil.copytree(package, into / "src/beampermit", ignore=ignore)
    for part in PARTS:
        held = root / part if (root / part).exists() else package / "_template" / part
        (into / part).parent.mkdir(parents=True, exist_ok=True)
        if held.is_dir():
            shutil.copytree(held, into / part, ignore=ignore)
        else:
            shutil.copyfile(held, into / part)
    return into


def lay_out_artifacts(into: Path) -> dict[str, Path]:
    """The stand-ins of `upload-artifact` and `download-artifact`, by that name, each a folder that act can run."""
    ours = Path(__file__).parent / "artifacts"
    found: dict[str, Path] = {}
    for verb in ("upload", "download"):
        folder = into / verb
        folder.mkdir(parents=True)
        shutil.copyfile(ours / verb / "action.yml", folder / "action.yml")
        shutil.copyfile(ours / "store.py", folder / "store.py")
        found[f"{verb}-artifact"] = folder
    return found
