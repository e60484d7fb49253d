"""Fetches models from registry or DVC remote; only bytes with the ledger's digest are used."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.digest import COMPILED, digest_folder, is_compiled
from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.project import Project
from beampermit.registry.ancestry import is_ancestor
from beampermit.registry.event import Event
from beampermit.registry.mlflow import Registry
from beampermit.reproduction.tree import exported

FETCHING = ".fetch-"
"""Folders with this prefix were not finished."""


def fetch_model(event: Event, into: Path, uri: str) -> Path:
    """The model folder of `event`, as `fetch_version`."""
    return fetch_version(event.model, event.version, event.digest, into, uri)


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


def require_commit(project: Project, event: Event) -> None:
    """Fetch the commit of `event` where this clone lacks it. Raises `Outside` where origin has it no more."""
    git = project.git
    if git.resolve(event.commit) is None:
        is_ancestor(git, "origin", event.commit, "HEAD")  # fetches what the clone lacks
    if git.resolve(event.commit) is None:
        raise Outside(
            f"version {event.version} of {event.model} was promoted from commit {event.commit[:12]}, which origin no "
            "longer has"
        )


def fetch_from_dvc(project: Project, event: Event, into: Path) -> Path:
    """The model folder of `event`, from its commit and the DVC remote that the project uses today.

    Raises `Outside` where commit or bytes are gone, or the bytes are others.
    """
    name = f"version {event.version} of {event.model}"
    require_commit(project, event)
    with exported(project.git, event.commit, into / "commit") as tree:
        old = Project(tree)
        try:
            path = old.contract.model.path
            pull(Repository(old, project), [path])
            model = old.path(path).replace(into / "model")
            same = digest_folder(model) == event.digest
        except BeampermitError as error:
            raise Outside(
                f"{name} cannot be fetched from the DVC remote: {error}", hint="beampermit data check"
            ) from None
    if not same:
        raise Outside(f"the DVC remote holds other bytes for {name} than the permit binds", hint="beampermit history")
    return model
