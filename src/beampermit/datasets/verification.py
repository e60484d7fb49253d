"""Whether data on this machine match their hashes, computed from every byte, and whether remotes have them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from beampermit.datasets import manifests
from beampermit.datasets.imports import Source
from beampermit.datasets.remote import Remote, hash_of
from beampermit.datasets.repository import Output, Repository, is_below
from beampermit.datasets.workspace import irregular_files
from beampermit.digest import digest_file
from beampermit.errors import Problem


@dataclass(frozen=True)
class LocalCheck:
    """Number and bytes of the files that were hashed; what is wrong; paths that are not on this machine."""

    files: int
    size: int
    wrong: tuple[Problem, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True)
class RemoteCheck:
    """Number of objects, number looked up (the rest are the base branch's), what is missing, names of the remotes.

    `read` is the number of those looked up whose bytes were read and hashed; of the others the sizes were compared.
    """

    objects: int
    looked_up: int
    missing: tuple[Problem, ...]
    remotes: tuple[str, ...]
    read: int = 0
    altered: bool = False
    """Whether the bytes of one of `missing` are there, and are others."""


def manifest_faults(repository: Repository, outputs: Collection[Output]) -> list[Problem]:
    """Why the outputs' manifests must not be checked out, each with the file that names it. Raises `Outside`."""
    locks = {output.path: output.file for output in outputs}
    pairs = manifests.clashes(output.path for output in outputs)
    faults = [Problem(f"{first} and {second} are one path", locks[first]) for first, second in pairs]
    for output in outputs:
        manifest = repository.manifest(output) if output.folder else None
        reasons = manifest.faults if manifest else ()
        faults += [Problem(f"the manifest of {output.path}: {reason}", output.file) for reason in reasons]
    return faults


def absent_manifests(repository: Repository, outputs: Iterable[Output]) -> list[Problem]:
    """Folders whose manifest is nowhere, so that nothing is known of their files. Raises `Outside`."""
    absent = [output for output in outputs if output.folder and repository.manifest(output) is None]
    return [
        Problem(
            f"the manifest of {output.path} is neither on this machine nor on "
            f"{name_of_remote(repository.remote(output.remote))}",
            output.file,
        )
        for output in absent
    ]


def name_of_remote(remote: Remote | Source) -> str:
    """What messages call a remote that lacks something, with the reason where it has nothing at all."""
    return f"{remote.name}, which {remote.empty}" if remote.empty else remote.name


def verify(repository: Repository, outputs: Iterable[Output]) -> LocalCheck:
    """Hash the files of `outputs` in cache and work tree; their manifests have been checked."""
    outputs = list(outputs)
    wrong = [
        Problem(f"{path} is {kind}", output.file) for output in outputs for path, kind in _irregular(repository, output)
    ]
    if wrong:
        return LocalCheck(0, 0, tuple(wrong), ())
    expected = [(path, oid, output) for output in outputs for path, oid in repository.files(output).items()]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        checks = list(pool.map(lambda item: _verify_object(repository, *item), expected))
    return LocalCheck(
        files=sum(check.files for check in checks),
        size=sum(check.size for check in checks),
        wrong=tuple(reason for check in checks for reason in check.wrong),
        absent=tuple(path for check in checks for path in check.absent),
    )


def _irregular(repository: Repository, output: Output) -> Iterator[tuple[str, str]]:
    return irregular_files(repository.root / output.path, repository.root, repository.cache)


def _verify_object(repository: Repository, path: str, oid: str, output: Output) -> LocalCheck:
    hash_name = output.hash_name
    cached, checked_out = repository.cached(oid, hash_name), repository.root / path
    places = [(cached, f"the cached copy of {path}"), (checked_out, path)]
    present = [(file, name) for file, name in places if file.is_file()]
    if len(present) == 2 and cached.samefile(checked_out):
        present = present[1:]
    wrong = tuple(
        Problem(f"{name} does not match its hash {oid[:8]}", output.file)
        for file, name in present
        if _differs(file, oid, hash_name)
    )
    return LocalCheck(len(present), sum(file.stat().st_size for file, _ in present), wrong, () if present else (path,))


def _differs(file: Path, oid: str, hash_name: str) -> bool:
    return hash_of(file, hash_name) != oid


def weakly_bound(repository: Repository, digests: Mapping[str, str]) -> list[Problem]:
    """What DVC stores and a stage reads, and `digests` (path -> sha256, by the commit) do not list, or not so.

    Two files can be made that have one md5, so DVC's hash alone does not tell which of them was judged.
    """
    locks = {path: output.file for output in repository.outputs for path in repository.files(output)}
    readers = _readers(repository, locks)
    reasons = {
        path: f"{path}, which stage {readers[path]} reads, has no sha256 there" for path in readers.keys() - digests
    }
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        listed = sorted(readers.keys() & digests)
        match = pool.map(lambda path: _has_digest(repository.root / path, digests[path]), listed)
        reasons |= {
            path: f"{path} has another sha256 there" for path, same in zip(listed, match, strict=True) if not same
        }
    return [Problem(reasons[path], locks[path]) for path in sorted(reasons)]


def _readers(repository: Repository, stored: Iterable[str]) -> dict[str, str]:
    """File that DVC stores, one of `stored` -> name of a stage that reads it."""
    readers: dict[str, str] = {}
    for stage in repository.stages:
        for dependency in stage.deps if not stage.is_import else ():
            if not dependency.is_in_repo:
                continue
            read = repository.relative(dependency.fs_path)
            files = [read] if read in stored else [path for path in stored if path.startswith(f"{read}/")]
            readers |= {path: readers.get(path, repository.name(stage)) for path in files}
    return readers


def _has_digest(file: Path, digest: str) -> bool:
    """Whether a file has this sha256; true for one that is not here."""
    return not file.is_file() or digest_file(file) == digest


def check_remotes(repository: Repository) -> RemoteCheck:
    """Look up on the remotes the objects that are new since the base branch, and compare their bytes.

    Raises `Outside`. A repository that data were imported from is asked only for what is new.
    """
    names = sorted({output.remote for output in repository.outputs if not output.imported}, key=str)
    remotes = {name: repository.remote(name) for name in names}
    before = repository.base_objects() if repository.outputs else set()
    missing = [
        Problem(f"{output.path} is declared `push: false`", output.file)
        for output in repository.outputs
        if not output.pushed
    ]
    all_objects: set[str] = set()
    looked_up: set[str] = set()
    read, differ = 0, False
    for name, hash_name in {(output.remote, output.hash_name) for output in repository.outputs}:
        outputs = [
            output
            for output in repository.outputs
            if (output.remote, output.hash_name) == (name, hash_name) and output.pushed
        ]
        objects = repository.objects(outputs)
        new = objects.keys() - before
        all_objects |= objects.keys()
        looked_up |= new
        if name not in remotes and not new:
            continue
        remote = remotes.setdefault(name, repository.remote(name))
        absent = remote.missing(new, hash_name)
        if objects and remote.empty:  # then it lacks what the base branch names, too
            missing.append(Problem(f"the remote {remote.name} ({remote.url}) {remote.empty}", outputs[0].file))
        missing += [
            Problem(f"{objects[oid]} is not on {remote.name} (object {oid[:8]})", _lock_of(objects[oid], outputs))
            for oid in sorted(absent)
        ]
        sizes = _known_sizes(repository, outputs, new - absent, hash_name)
        altered, hashed = remote.altered(sizes, hash_name)
        read += hashed
        differ = differ or bool(altered)
        missing += [
            Problem(
                f"{objects[oid]} on {remote.name} {fault} (object {object_place(oid)})",
                _lock_of(objects[oid], outputs),
            )
            for oid, fault in sorted(altered.items())
        ]
    asked = tuple(remote.name for remote in remotes.values())
    return RemoteCheck(len(all_objects), len(looked_up), tuple(missing), asked, read, differ)


def object_place(oid: str) -> str:
    """Where a remote has an object, below its address."""
    return f"files/md5/{oid[:2]}/{oid[2:]}"


def _lock_of(path: str, outputs: Iterable[Output]) -> str:
    """The file that names a path's hash."""
    return next(output.file for output in outputs if is_below(path, output.path))


def _known_sizes(
    repository: Repository, outputs: Iterable[Output], oids: Iterable[str], hash_name: str
) -> dict[str, int | None]:
    """The sizes of objects: by the lock, else of the copy in the cache; None where neither tells."""
    locked = {output.oid: output.size for output in outputs}
    sizes: dict[str, int | None] = {}
    for oid in oids:
        cached = repository.cached(oid, hash_name)
        size = locked.get(oid)
        sizes[oid] = cached.stat().st_size if size is None and cached.is_file() else size
    return sizes
