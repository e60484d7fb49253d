"""sha256 of bytes, files and folders, which permits and manifests bind."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path, PurePath
from typing import Any

from beampermit.errors import BadInput

COMPILED = "compiled code, which Python runs instead of the source beside it, may not lie in a model: delete it"
"""Python writes it wherever a model is loaded from its folder, so to delete it is all that an honest user needs."""


CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_bytes(content: bytes) -> str:
    """`sha256:<64 hex>` of bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def canonical_json(value: Any) -> bytes:
    """A JSON value with sorted keys, without white space, in UTF-8; names of files of other bytes as they are."""
    return CANONICAL.encode(value).encode(errors="surrogateescape")


def digest_json(value: Any) -> str:
    """Digest of a JSON value, independent of key order and white space."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """`sha256:<64 hex>` of a file, however large."""
    return "sha256:" + sha256_file(path)


def sha256_file(path: Path) -> str:
    """64 hexadecimal digits, as lock files have them."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def has_sha256(path: Path, sha256: str | None) -> bool:
    """Whether there is a file at `path` with this sha256 (64 hexadecimal digits)."""
    try:
        return sha256_file(path) == sha256
    except OSError:
        return False


def is_compiled(path: PurePath) -> bool:
    """Whether Python may run a file instead of its source, or it lies where Python keeps such files."""
    return "__pycache__" in path.parts or path.suffix in {".pyc", ".pyo"}


def manifest(folder: Path) -> dict[str, str]:
    """POSIX path -> digest of each file below `folder`.

    Raises `BadInput` for a link or a device, which a manifest cannot bind, and for compiled code, which Python runs
    instead of the source that was reviewed.
    """
    from concurrent.futures import ThreadPoolExecutor

    if not folder.is_dir():
        raise BadInput("the folder is missing", file=folder)
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        relative = path.relative_to(folder)
        if is_compiled(relative):
            raise BadInput(COMPILED, file=path)
        if path.is_symlink() or not path.is_file():
            raise BadInput("a link or a device has no digest; only plain files are allowed here", file=path)
        files[relative.as_posix()] = path
    # hashlib releases the GIL: shards of weights are hashed on all cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(files, pool.map(digest_file, files.values()), strict=True))


def digest_folder(folder: Path) -> str:
    """The digest of a folder: of its manifest."""
    return digest_json(manifest(folder))
