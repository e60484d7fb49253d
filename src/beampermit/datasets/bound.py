"""What DVC's own files bind: the outputs that a `dvc.lock` or a `.dvc` file names, each with its hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from beampermit.reading import parse_yaml
from beampermit.record import LARGEST, Count


@dataclass(frozen=True)
class Bound:
    """A file or folder that DVC binds: its hash, bytes, and files where it is a folder."""

    path: str
    hash: str
    size: Count | None = None
    files: Count | None = None


def bound(text: str, name: str) -> dict[str, Bound]:
    """The outputs in the text of a `dvc.lock` or a `.dvc` file, by path; `name` is the file's path in the project.

    What has not the shape that DVC writes is left out. Raises `BadInput` for what is no YAML.
    """
    tree = parse_yaml(text, name)
    stages = tree.get("stages", {"": tree}) if isinstance(tree, dict) else None
    found = {}
    for out in _outs(stages):
        path = (PurePosixPath(name).parent / out["path"]).as_posix()
        value = out.get("md5") or out.get("etag") or out.get("checksum") or ""
        found[path] = Bound(path, str(value), counted(out.get("size")), counted(out.get("nfiles")))
    return found


def counted(value: Any) -> int | None:
    """A number of bytes, files or rows, where it is one that can be."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST else None


def _outs(stages: Any) -> list[dict[str, Any]]:
    bodies = [body for body in stages.values() if isinstance(body, dict)] if isinstance(stages, dict) else []
    listed = [body["outs"] for body in bodies if isinstance(body.get("outs"), list)]
    return [out for outs in listed for out in outs if isinstance(out, dict) and isinstance(out.get("path"), str)]
