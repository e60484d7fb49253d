"""Checks where a lock's files come from: allowed indexes only, a sha256 each, each file named as its package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from beampermit.environments.backend import Artifact, Lock, Package, Specification
from beampermit.errors import Problem


def untrusted(lock: Lock, allowed: tuple[str, ...] | None, before: Lock | None = None) -> Iterator[Problem]:
    """Each file or package of the lock that cannot be trusted.

    `allowed` are the addresses in the contract: indexes, channels, hosts of their files, local folders. It is None
    without a contract: then all files of an index must be on one host. `before` is the base branch's lock: files that
    both have must have the same hash.
    """
    yield from _untrusted_sources(lock, allowed)
    for package, artifact, message in _untrusted_files(lock, allowed, before):
        yield Problem(f"{package}: {message}", lock.file, lock.line_of(artifact.file_name) or package.line)


def unlisted(specification: Specification, allowed: tuple[str, ...] | None) -> Iterator[Problem]:
    """Each index that the project's settings name for any package, and that the contract does not allow."""
    names = {_folder(address) for address in allowed or ()}
    for address, line in specification.indexes if allowed is not None else ():
        if _folder(address) not in names:
            why = f": it {reason}" if (reason := unclear(address)) else ""
            yield Problem(
                f"the contract does not allow {address}, from which any package may come{why}", specification.file, line
            )


def _folder(address: str) -> str:
    return address.rstrip("/") if "://" in address else PurePosixPath(address).as_posix()


def packages_to_relock(lock: Lock) -> tuple[Package, ...]:
    """The packages of an index with a file that cannot be trusted: their entries have to be written again."""
    packages = {package.key: package for package, _, _ in _untrusted_files(lock, None, None) if package.source}
    return tuple(packages.values())


def misnamed(lock: Lock) -> tuple[Package, ...]:
    """The packages with a file that is named as another package or version."""
    return tuple(package for package, artifact in _artifacts(lock) if _wrong_name(package, artifact))


def addresses(lock: Lock) -> tuple[str, ...]:
    """What the contract must allow for this lock: its indexes, then further hosts of their files."""
    hosts = {origin(source) for source in lock.sources}
    files = {origin(artifact.address) for _, artifact in _artifacts(lock) if not artifact.local}
    return (*lock.sources, *sorted(files - hosts))


def trusted_addresses(lock: Lock) -> tuple[str, ...]:
    """The `addresses` without those that only files name that cannot be trusted."""
    strange = {package.key for package, _, _ in _untrusted_files(lock, None, None)}
    return addresses(replace(lock, packages=tuple(one for one in lock.packages if one.key not in strange)))


def origin(address: str) -> str:
    """`https://host:port` of a URL; a local folder is itself, and so is what is `unclear`."""
    parts = None if unclear(address) else urlsplit(address)
    host = parts.netloc.rpartition("@")[2] if parts else ""  # not who logs in
    return f"{parts.scheme}://{host}".lower() if parts and host else address.rstrip("/")


def unclear(address: str) -> str | None:
    """Why programs may read different hosts in an address: uv and conda's tools take `\\` for `/`, Python does not."""
    if ":" not in address:
        return None  # a local path
    if any(one in "\\ " or not one.isprintable() for one in address):
        return "has a backslash, a space or a control character in its address, which programs read in different ways"
    try:
        urlsplit(address)
    except ValueError as error:
        return f"has no valid address: {error}"
    return None


def _artifacts(lock: Lock) -> Iterator[tuple[Package, Artifact]]:
    for package in lock.packages:
        for artifact in package.artifacts:
            yield package, artifact


def _untrusted_files(
    lock: Lock, allowed: tuple[str, ...] | None, before: Lock | None
) -> Iterator[tuple[Package, Artifact, str]]:
    hosts = _usual_hosts(lock) if allowed is None else {source: set(map(origin, allowed)) for source in lock.sources}
    on_base = {artifact.file_name: artifact.sha256 for _, artifact in _artifacts(before)} if before else {}
    seen: dict[str, str] = {}
    for package, artifact in _artifacts(lock):
        for message in (
            _wrong_name(package, artifact),
            _wrong_hash(artifact, seen, on_base),
            _wrong_address(package, artifact),
            _wrong_host(package, artifact, hosts),
        ):
            if message:
                yield package, artifact, message


def _untrusted_sources(lock: Lock, allowed: tuple[str, ...] | None) -> Iterator[Problem]:
    names = None if allowed is None else {address.rstrip("/") for address in allowed}
    for package in lock.packages:
        if package.own:
            continue
        if package.source is None:
            yield Problem(f"{package} comes from {package.origin}, not from an index", lock.file, package.line)
        elif not package.artifacts:
            yield Problem(f"{package} is locked without a file", lock.file, package.line)
    for source in lock.sources if names is not None else ():
        users = [one for one in lock.packages if one.source == source and not _is_allowed(one, source, names or set())]
        if users:
            more = f" and {len(users) - 1} more" if len(users) > 1 else ""
            yield Problem(
                f"the contract does not allow {source}, the source of {users[0]}{more}",
                lock.file,
                users[0].line,
            )


def _is_allowed(package: Package, source: str, names: set[str]) -> bool:
    """A conda lock has only the host of pip's packages: a part of it may be allowed instead, by a longer address."""
    if source.rstrip("/") in names:
        return True
    places = (origin(one.address) + unquote(urlsplit(one.address).path) for one in package.artifacts)
    return package.pip and all(
        ".." not in place.split("/") and any(place.startswith(f"{name}/") for name in names) for place in places
    )


def _wrong_name(package: Package, artifact: Artifact) -> str | None:
    if artifact.named is None:
        return f"{artifact.file_name!r} is not a package file"
    name, version = artifact.named
    if (name, version) != (package.name, package.version):
        return f"the file {artifact.file_name} is of {name} {version}"
    return None


def _wrong_hash(artifact: Artifact, seen: dict[str, str], on_base: dict[str, str | None]) -> str | None:
    if artifact.sha256 is None:
        return f"{artifact.file_name} has no sha256"
    first = seen.setdefault(artifact.sha256, artifact.file_name)
    if first != artifact.file_name:
        return f"{artifact.file_name} has the sha256 of {first}"
    before = on_base.get(artifact.file_name)
    if before and before != artifact.sha256:
        return f"the sha256 of {artifact.file_name} differs from the base branch: a published file never changes"
    return None


def _wrong_address(package: Package, artifact: Artifact) -> str | None:
    """A channel may have a login, which the contract names with it; in any other, `${HOME}` could hide a host."""
    if artifact.local and not artifact.address.startswith("file:"):
        return None
    if why := unclear(artifact.address):
        return f"{artifact.file_name} {why}"
    login = urlsplit(artifact.address).netloc.rpartition("@")[0]
    if login and not artifact.address.startswith(f"{package.source}/"):
        return f"{artifact.file_name} has a login in its address: leave it to netrc"
    return None


def _wrong_host(package: Package, artifact: Artifact, hosts: dict[str, set[str]]) -> str | None:
    source = package.source
    if source is None:
        return None
    if artifact.local:
        parts = PurePosixPath(artifact.address)
        inside = parts.is_relative_to(source) and ".." not in parts.relative_to(source).parts
        return None if inside else f"{artifact.address} is not in {source}"
    host = origin(artifact.address)
    if host not in hosts[source] | {origin(source)}:
        return f"{artifact.file_name} is on {host}, which is not allowed"
    return None


def _usual_hosts(lock: Lock) -> dict[str, set[str]]:
    """The host of most files of each index."""
    counts: dict[str, Counter[str]] = {source: Counter() for source in lock.sources}
    for package, artifact in _artifacts(lock):
        if package.source and not artifact.local:
            counts[package.source][origin(artifact.address)] += 1
    return {source: {host for host, _ in hosts.most_common(1)} for source, hosts in counts.items()}
