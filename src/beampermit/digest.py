"""sha256 of bytes, files and folders: what a permit binds."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput


def digest_bytes(content: bytes) -> str:
    """`sha256:<64 hex>` of bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value: keys in order, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_json(value: Any) -> str:
    """Digest of a JSON value, independent of key order and white space."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """`sha256:<64 hex>` of a file, read in pieces."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def manifest(folder: Path) -> dict[str, str]:
    """Each file below `folder` by its POSIX path, with its digest; `__pycache__` is not part of a folder's meaning.

    Raises `BadInput` for a link or a device: what a manifest cannot bind must not be there.
    """
    from concurrent.futures import ThreadPoolExecutor

    if not folder.is_dir():
        raise BadInput("the folder is missing", file=folder)
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if "__pycache__" in relative.parts or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or not path.is_file():
            raise BadInput("only plain files can be bound by a digest; this is a link or a device", file=path)
        found[relative.as_posix()] = path
    # hashlib lets other threads run while it reads and hashes: shards of weights are hashed on all cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(found, pool.map(digest_file, found.values()), strict=True))


def digest_folder(folder: Path) -> str:
    """The digest of a folder: of its manifest."""
    return digest_json(manifest(folder))
