"""The outputs that `dvc.lock` and `.dvc` files name, each with its hash."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from beampermit.reading import parse_yaml
from beampermit.record import LARGEST, Count

PIPELINE, LOCK = "dvc.yaml", "dvc.lock"


@dataclass(frozen=True)
class LockedOutput:
    """A file or folder with its hash and size in bytes, and the number of files in a folder."""

    path: str
    hash: str
    size: Count | None = None
    files: Count | None = None


def bound_outputs(files: Iterable[str], read: Callable[[str], str | None]) -> dict[str, LockedOutput]:
    """The outputs that a project with these files binds, by path: in the `dvc.lock` beside each `dvc.yaml`, and in
    `.dvc` files.

    `read` gives the text of a file, None where it is absent. Raises `BadInput` for one that is not YAML.
    """
    outputs: dict[str, LockedOutput] = {}
    for file, lock in _locked(files).items():
        if (text := read(lock)) is not None:
            outputs |= locked_outputs(text, lock, _work_folders(read(file) or "", file) if file != lock else {})
    return outputs


def pipeline_locks(files: Iterable[str]) -> list[str]:
    """The `dvc.lock` of each pipeline of a project with these files, the root's first, whether it is there or not."""
    locks = (lock for file, lock in _locked(files).items() if file != lock)
    return sorted(locks, key=lambda lock: (lock != LOCK, lock))


def _locked(files: Iterable[str]) -> dict[str, str]:
    """Each `dvc.yaml`, that of the root always, and the lock beside it; and each `.dvc` file, which is its own.

    As for DVC, another DVC repository inside the project is not part of it.
    """
    files = {PIPELINE, *files}
    others = tuple(f"{path.partition('/.dvc/')[0]}/" for path in files if "/.dvc/" in path)
    own = [PurePosixPath(file) for file in sorted(files) if not file.startswith((".dvc/", *others))]
    pipelines = {str(file): str(file.with_name(LOCK)) for file in own if file.name == PIPELINE}
    return {**pipelines, **{str(file): str(file) for file in own if file.suffix == ".dvc"}}


def locked_outputs(text: str, name: str, folders: Mapping[str, str] | None = None) -> dict[str, LockedOutput]:
    """The outputs in the text of the `dvc.lock` or `.dvc` file `name`, by path in the project.

    `folders` are those in which stages run, from the file's, where they are others. Entries of an unknown form are left
    out. Raises `BadInput` if it is not YAML.
    """
    tree = _tree(text, name)
    stages = tree.get("stages", {"": tree}) if isinstance(tree, dict) else None
    outputs = {}
    for stage, body in stages.items() if isinstance(stages, dict) else ():
        folder = (folders or {}).get(str(stage).partition("@")[0]) or _folder_of(body)
        for out in _outs(body):
            path = posixpath.normpath(PurePosixPath(name).parent / folder / out["path"])
            value = out.get("md5") or out.get("etag") or out.get("checksum") or ""
            outputs[path] = LockedOutput(path, str(value), count_of(out.get("size")), count_of(out.get("nfiles")))
    return outputs


@lru_cache(maxsize=8)  # of head and base, several checks ask; it takes a tenth of a second to read
def _tree(text: str, name: str) -> Any:
    """What is written there, to be read only. Raises `BadInput`."""
    return parse_yaml(text, name)


def _work_folders(text: str, name: str) -> dict[str, str]:
    """The stages of a `dvc.yaml` that run in another folder, which `dvc.lock` does not repeat."""
    if "wdir" not in text:
        return {}
    tree = parse_yaml(text, name, aliases=True)
    stages = tree.get("stages") if isinstance(tree, dict) else None
    listed = stages.items() if isinstance(stages, dict) else ()
    return {
        str(stage): _folder_of(body) or _folder_of(body.get("do")) for stage, body in listed if isinstance(body, dict)
    }


def _folder_of(body: Any) -> str:
    folder = body.get("wdir") if isinstance(body, dict) else None
    return folder if isinstance(folder, str) else ""


def count_of(value: Any) -> int | None:
    """`value` if it is a possible number of bytes, files or rows."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST else None


def _outs(body: Any) -> list[dict[str, Any]]:
    outs = body.get("outs") if isinstance(body, dict) else None
    listed = outs if isinstance(outs, list) else []
    return [out for out in listed if isinstance(out, dict) and isinstance(out.get("path"), str)]
