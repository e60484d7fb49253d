"""Whether the bytes on this machine are those that hashes name: nothing remembered is believed, each byte is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from beampermit.datasets.remote import hash_of
from beampermit.datasets.repository import Output, Repository
from beampermit.datasets.workspace import irregular_files


@dataclass(frozen=True)
class LocalCheck:
    """Files whose bytes were read: how many, how many bytes, which are wrong, and which data lie nowhere here."""

    files: int
    size: int
    wrong: tuple[str, ...]
    absent: tuple[str, ...]


def manifest_faults(repository: Repository, outputs: Iterable[Output]) -> list[str]:
    """Why outputs must not be checked out, by what their manifests say. Raises `Outside`."""
    return list(_manifest_faults(repository, outputs))


def _manifest_faults(repository: Repository, outputs: Iterable[Output]) -> Iterator[str]:
    from beampermit.datasets import manifests

    outputs = list(outputs)
    yield from (
        f"{one} and {other} are one path" for one, other in manifests.clashes(output.path for output in outputs)
    )
    for output in outputs:
        if not output.folder:
            continue
        found = repository.manifest(output)
        if found is None:
            yield f"the manifest of {output.path} is neither here nor on the remote"
        else:
            yield from (f"the manifest of {output.path}: {fault}" for fault in found.faults)


def verify(repository: Repository, outputs: Iterable[Output]) -> LocalCheck:
    """Hash what cache and work tree hold of `outputs`; their manifests have been judged."""
    outputs = list(outputs)
    wrong = [f"{path} is {what}" for output in outputs for path, what in _irregular(repository, output)]
    if wrong:
        return LocalCheck(0, 0, tuple(wrong), ())
    wanted = [(path, oid, output.hash_name) for output in outputs for path, oid in repository.leaves(output).items()]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = list(pool.map(lambda item: _verify_object(repository, *item), wanted))
    return LocalCheck(
        files=sum(item.files for item in found),
        size=sum(item.size for item in found),
        wrong=tuple(text for item in found for text in item.wrong),
        absent=tuple(path for item in found for path in item.absent),
    )


def _irregular(repository: Repository, output: Output) -> Iterator[tuple[str, str]]:
    return irregular_files(repository.root / output.path, repository.root, repository.cache)


def _verify_object(repository: Repository, path: str, oid: str, hash_name: str) -> LocalCheck:
    cached, placed = repository.cached(oid, hash_name), repository.root / path
    places = [(cached, f"the cached copy of {path}"), (placed, path)]
    here = [(file, name) for file, name in places if file.is_file()]
    if len(here) == 2 and cached.samefile(placed):
        here = here[1:]
    wrong = tuple(
        f"{name} has other bytes than its hash {oid[:8]} says" for file, name in here if _differs(file, oid, hash_name)
    )
    return LocalCheck(len(here), sum(file.stat().st_size for file, _ in here), wrong, () if here else (path,))


def _differs(file: Path, oid: str, hash_name: str) -> bool:
    return hash_of(file, hash_name) != oid


@dataclass(frozen=True)
class RemoteCheck:
    """How many objects there are, how many were asked for (the rest is the base branch's), which are missing."""

    objects: int
    asked: int
    missing: tuple[str, ...]
    remotes: tuple[str, ...]


def check_remotes(repository: Repository) -> RemoteCheck:
    """Ask remotes for the objects that are new since the base branch. Raises `Outside`."""
    remotes = {name: repository.remote(name) for name in sorted({o.remote for o in repository.kept}, key=str)}
    before = repository.base_objects() if remotes else set()
    missing = [f"{output.path} is declared `push: false`" for output in repository.kept if not output.pushed]
    everything: set[str] = set()
    asked: set[str] = set()
    for name, hash_name in {(output.remote, output.hash_name) for output in repository.kept}:
        outputs = [
            output
            for output in repository.kept
            if (output.remote, output.hash_name) == (name, hash_name) and output.pushed
        ]
        objects = repository.objects(outputs)
        new = objects.keys() - before
        everything |= objects.keys()
        asked |= new
        absent = remotes[name].missing(new, hash_name)
        missing += [f"{objects[oid]} is not on {remotes[name].name} (object {oid[:8]})" for oid in sorted(absent)]
    return RemoteCheck(len(everything), len(asked), tuple(missing), tuple(remote.name for remote in remotes.values()))
