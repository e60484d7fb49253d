"""Fetches the model of a version from the registry; only bytes with the ledger's digest are used.

The process that asks the registry starts with this file: it imports no more than that needs.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from beampermit.digest import COMPILED, digest_folder, is_compiled
from beampermit.errors import BadInput, Outside
from beampermit.registry.mlflow import Registry

FETCHING = ".fetch-"
"""Folders with this prefix were not finished."""


def fetch_version(model: str, version: int, digest: str, into: Path, uri: str) -> Path:
    """The folder of a version, from the registry at `uri`; cached by digest below `into`.

    Raises `Outside` where the registry does not answer or returns other bytes.
    """
    cached = find_cached(digest, into)
    if cached:
        return cached
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=FETCHING, dir=into) as scratch:
        fetched = download_verified(Registry(uri), model, version, digest, Path(scratch))
        cached = _place(digest, into)
        if cached.exists():
            shutil.rmtree(cached)
        fetched.replace(cached)
    return cached


def find_cached(digest: str, into: Path) -> Path | None:
    """The model folder with a digest that an earlier `fetch_version` left, if its bytes still have it."""
    cached = _place(digest, into)
    return cached if _has_digest(cached, digest) else None


def _place(digest: str, into: Path) -> Path:
    return into / digest.removeprefix("sha256:")


def download_verified(registry: Registry, model: str, version: int, digest: str, into: Path) -> Path:
    """The model folder of a version. Raises `Outside` where its digest is not `digest`."""
    downloaded = registry.download(model, version, into)
    files = (path.relative_to(downloaded) for path in sorted(downloaded.rglob("*")) if not path.is_dir())
    if compiled := next(filter(is_compiled, files), None):
        raise Outside(
            f"the registry {registry.name} holds {compiled} in {model} version {version}: {COMPILED}",
            hint="delete it in the registry's store; MLflow writes it where a model is loaded from there",
        )
    if not _has_digest(downloaded, digest):
        raise Outside(
            f"the registry {registry.name} holds other bytes for {model} version {version} than the permit binds",
            hint="beampermit history",
        )
    return downloaded


def _has_digest(folder: Path, digest: str) -> bool:
    try:
        return folder.is_dir() and digest_folder(folder) == digest
    except BadInput:
        return False
