"""The software that the locks of a project install, as one CycloneDX bill of materials."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from beampermit import __version__
from beampermit.environments.backend import Artifact, Lock, Package
from beampermit.environments.platforms import TAGS
from beampermit.environments.uv.files import packages_for
from beampermit.errors import BadInput

LOCK, DIGEST = "beampermit:lock", "beampermit:lock:digest"
"""Properties of each lock that the document was made of: its file, followed by its digest."""
NAMESPACE = uuid.UUID("6d1a4f0e-6a3c-5a59-9d39-0d8f5c1b7e52")

Software = Sequence[tuple[Lock, list[Package]]]
"""Each lock with the packages that it installs."""


def sbom(lock: Lock, project: str, *, platform: str | None = None, variant: str = "") -> dict[str, Any]:
    """CycloneDX 1.6 of the lock and its other variants, or of one `platform` or `variant`.

    The same locks give the same document: no time, and a serial number made of their digests. Raises `BadInput` for a
    platform that the locks do not have.
    """
    locks = (lock,) if variant else lock.all
    software = [(one, _packages(one, platform, variant)) for one in locks]
    if platform and not any(packages for _, packages in software):
        platforms = ", ".join(dict.fromkeys(one.platform for one in lock.packages if one.platform)) or "no platform"
        raise BadInput(f"the lock has nothing for {platform}; it is for {platforms}", file=lock.file)
    digests = " ".join(one.digest for one in locks)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, f'{digests} {platform} {variant}'.rstrip())}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "beampermit", "version": __version__}]},
            "component": {"type": "application", "bom-ref": "project", "name": project},
            "properties": [
                {"name": name, "value": value}
                for one in locks
                for name, value in ((LOCK, one.file), (DIGEST, one.digest))
            ],
        },
        "components": _components(software),
        "dependencies": _dependencies(software),
    }


def _packages(lock: Lock, platform: str | None, variant: str) -> list[Package]:
    return [one for one in _of_variant(lock, variant) if not one.own and platform in (None, one.platform)]


def _of_variant(lock: Lock, variant: str) -> tuple[Package, ...]:
    """A conda lock is for one variant; a uv lock holds them all."""
    if not variant or any(package.platform for package in lock.packages):
        return lock.packages
    keys = {package.key for platform in TAGS for package in packages_for(lock, platform).values()}
    return tuple(package for package in lock.packages if package.key in keys)


def purl(package: Package) -> str:
    name, version = quote(package.name, safe=""), quote(package.version, safe="")
    if not package.build:
        return f"pkg:pypi/{name}@{version}"
    artifact = package.artifacts[0]
    kind = "conda" if artifact.file_name.endswith(".conda") else "tar.bz2"
    subdir = artifact.address.rpartition("/")[0].rpartition("/")[2]
    qualifiers = {"build": package.build, "channel": package.source or "", "subdir": subdir, "type": kind}
    return f"pkg:conda/{name}@{version}?" + "&".join(
        f"{key}={quote(text, safe='')}" for key, text in qualifiers.items()
    )


def _components(software: Software) -> list[dict[str, Any]]:
    """Each package once; with several locks, it names those that install it."""
    components: dict[str, dict[str, Any]] = {}
    files: dict[str, list[str]] = defaultdict(list)
    for lock, packages in software:
        for package in packages:
            component, key = _component(package), purl(package)
            first = components.setdefault(key, component)
            if "scope" not in component:
                first.pop("scope", None)  # optional for one lock, needed by another
            files[key] += [lock.file] if lock.file not in files[key] else []
    if len(software) > 1:
        for key, component in components.items():
            component["properties"] = [{"name": LOCK, "value": file} for file in files[key]]
    return [components[key] for key in sorted(components)]


def _component(package: Package) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
    }
    if package.groups and "main" not in package.groups:
        component["scope"] = "optional"
    if len(package.artifacts) == 1 and package.artifacts[0].sha256:
        component["hashes"] = _hashes(package.artifacts[0])
    files = [_distribution(artifact) for artifact in package.artifacts if not artifact.local]
    return component | ({"externalReferences": files} if files else {})


def _distribution(artifact: Artifact) -> dict[str, Any]:
    hashes = {"hashes": _hashes(artifact)} if artifact.sha256 else {}
    return {"type": "distribution", "url": artifact.address, **hashes}


def _hashes(artifact: Artifact) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": artifact.sha256 or ""}]


def _dependencies(software: Software) -> list[dict[str, Any]]:
    graph: dict[str, set[str]] = defaultdict(set)
    roots: set[str] = set()
    for lock, packages in software:
        by_name: dict[str, list[Package]] = defaultdict(list)
        for package in packages:
            by_name[package.name].append(package)
        here: dict[str, set[str]] = defaultdict(set)
        for package in packages:
            here[purl(package)] |= _needed(package, by_name)
        needed = set[str]().union(*here.values()) if here else set()
        own = {key for package in lock.packages if package.own for key in _needed(package, by_name)}
        roots |= own or here.keys() - needed
        for key, others in here.items():
            graph[key] |= others
    return [
        {"ref": "project", "dependsOn": sorted(roots)},
        *({"ref": key, "dependsOn": sorted(graph[key])} for key in sorted(graph)),
    ]


def _needed(package: Package, by_name: dict[str, list[Package]]) -> set[str]:
    edges = (*package.needs, *(edge for edges in package.optional.values() for edge in edges))
    return {
        purl(other)
        for edge in edges
        for other in by_name.get(edge.name, ())
        if other.platform == package.platform and edge.version in (None, other.version)
    }
