"""The outputs that a `dvc.lock` or a `.dvc` file names, each with its hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from beampermit.reading import parse_yaml
from beampermit.record import LARGEST, Count


@dataclass(frozen=True)
class LockedOutput:
    """A file or folder with its hash and size in bytes, and the number of files in a folder."""

    path: str
    hash: str
    size: Count | None = None
    files: Count | None = None


def locked_outputs(text: str, name: str) -> dict[str, LockedOutput]:
    """The outputs in the text of the `dvc.lock` or `.dvc` file `name`, by path in the project.

    Entries of an unknown form are left out. Raises `BadInput` if it is not YAML.
    """
    tree = parse_yaml(text, name)
    stages = tree.get("stages", {"": tree}) if isinstance(tree, dict) else None
    outputs = {}
    for out in _outs(stages):
        path = (PurePosixPath(name).parent / out["path"]).as_posix()
        value = out.get("md5") or out.get("etag") or out.get("checksum") or ""
        outputs[path] = LockedOutput(path, str(value), count_of(out.get("size")), count_of(out.get("nfiles")))
    return outputs


def count_of(value: Any) -> int | None:
    """`value` if it is a possible number of bytes, files or rows."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST else None


def _outs(stages: Any) -> list[dict[str, Any]]:
    bodies = [body for body in stages.values() if isinstance(body, dict)] if isinstance(stages, dict) else []
    listed = [body["outs"] for body in bodies if isinstance(body.get("outs"), list)]
    return [out for outs in listed for out in outs if isinstance(out, dict) and isinstance(out.get("path"), str)]
