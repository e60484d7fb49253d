"""The lineage of a dataset: its parents, code and parameters with their SHA-256, and its splits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from . import tables

PIPELINE = Path(__file__).parent


def record(
    parents: list[Path], code: list[str], parameters: dict[str, Any], rule: dict[str, Any], splits: dict[str, Path]
) -> dict[str, Any]:
    """The lineage record. `code` are modules of the pipeline; `rule` is `dataset.split` of the contract."""
    folder = f"src/{PIPELINE.parent.name}/{PIPELINE.name}"
    return {
        "parents": {path.as_posix(): digest(path) for path in parents},
        "code": {f"{folder}/{name}.py": digest(PIPELINE / f"{name}.py") for name in code},
        "parameters": parameters,
        "split": rule,
        "splits": {name: _describe(path, rule) for name, path in splits.items()},
    }


def _describe(path: Path, rule: dict[str, Any]) -> dict[str, Any]:
    columns = [*rule["by"], *filter(None, [rule.get("time")])]
    table = pd.read_parquet(path, columns=columns)
    split: dict[str, Any] = {"path": path.as_posix(), "sha256": digest(path), "rows": len(table)}
    split["groups"] = {column: int(table[column].nunique()) for column in rule["by"]}
    if time := rule.get("time"):
        split["first"], split["last"] = tables.ends(table[time])
    return split


def write(content: dict[str, Any], path: Path) -> None:
    """Write the record; the same dataset always gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def digest(path: Path) -> str:
    """`sha256:` and 64 digits of a file."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
