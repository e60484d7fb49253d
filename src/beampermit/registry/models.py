"""Model bytes out of the registry: believed only when their digest is the ledger's."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.digest import digest_folder
from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.mlflow import Registry
from beampermit.registry.order import is_ancestor
from beampermit.reproduction.prepared import worktree


def fetch_model(event: Event, into: Path, uri: str) -> Path:
    """The model folder that `event` put into service, from the registry at `uri`; kept by digest below `into`.

    Raises `Outside` when the registry does not answer, or gives other bytes than the ledger promised.
    """
    kept = into / event.digest.removeprefix("sha256:")
    if _has_digest(kept, event.digest):
        return kept
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=_create_folder(into)) as scratch:
        found = download_verified(Registry(uri), event.model, event.version, event.digest, Path(scratch))
        if kept.exists():
            shutil.rmtree(kept)
        found.replace(kept)
    return kept


def download_verified(registry: Registry, model: str, version: int, digest: str, into: Path) -> Path:
    """The bytes of a version, straight from the registry and judged by `digest`. Raises `Outside`."""
    found = registry.download(model, version, into)
    # A digest passes over compiled code, so it is not taken over.
    for folder in sorted(found.rglob("__pycache__"), reverse=True):
        shutil.rmtree(folder)
    if not _has_digest(found, digest):
        raise Outside(
            f"the registry {registry.name} holds other bytes for {model} version {version} than the permit binds",
            hint="beampermit history",
        )
    return found


def _has_digest(folder: Path, digest: str) -> bool:
    try:
        return folder.is_dir() and digest_folder(folder) == digest
    except BadInput:
        return False


def _create_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch_from_dvc(project: Project, event: Event, into: Path) -> Path:
    """The model folder that `event` put into service, below `into`; the remote is the one that is believed today.

    Raises `Outside` where commit or bytes are gone, or are not those that the ledger promised.
    """
    name = f"version {event.version} of {event.model}"
    git = project.git
    if git.resolve(event.commit) is None:
        is_ancestor(git, "origin", event.commit, "HEAD")  # brings what the clone lacks
    if git.resolve(event.commit) is None:
        raise Outside(f"{name} was promoted from commit {event.commit[:12]}, which origin does not have any more")
    folder = into / "worktree"
    with worktree(git, event.commit, folder):
        made = Project(folder)
        try:
            path = made.contract.model.path
            pull(Repository(made, project), [path])
            found = made.path(path).replace(into / "model")
            same = digest_folder(found) == event.digest
        except BeampermitError as error:
            raise Outside(
                f"{name} cannot be brought from the DVC remote: {error}", hint="beampermit data check"
            ) from None
    if not same:
        raise Outside(f"the DVC remote holds other bytes for {name} than the permit binds", hint="beampermit history")
    return found
