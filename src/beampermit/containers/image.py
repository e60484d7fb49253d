"""An image as its registry holds it: which commit it was made of, for which machines, and with which bill of materials.

An index of several platforms is read whole: each of its images must say the same commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from beampermit.containers.client import LARGEST, ImageRegistry
from beampermit.containers.reference import Reference
from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, Failed, Outside
from beampermit.reading import first_fault, parse_json
from beampermit.record import Digest, ObjectId

REVISION = "org.opencontainers.image.revision"
"""The label that names the commit."""
SBOMS = ("https://spdx.dev/Document", "https://cyclonedx.org/bom")
"""Types of attestations that are bills of materials."""
MOST = 32
"""Images and attestations of an index."""


class _Part(BaseModel):
    """Part of an answer: types are strict, unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


Kind = TypeVar("Kind", bound=_Part)


class _Descriptor(_Part):
    digest: Digest
    size: Annotated[int, Field(ge=0)]
    annotations: dict[str, str] | None = None

    def annotation(self, name: str) -> str:
        return (self.annotations or {}).get(name, "")


class _Manifest(_Part):
    config: _Descriptor
    layers: list[_Descriptor]


class _Index(_Part):
    manifests: Annotated[list[_Descriptor], Field(min_length=1, max_length=MOST)]


class _Run(_Part):
    Labels: dict[str, str] | None = None


class _Configuration(_Part):
    os: Annotated[str, Field(max_length=40)]
    architecture: Annotated[str, Field(max_length=40)]
    config: _Run


@dataclass(frozen=True)
class Image:
    """`reference` has the digest that was computed here; `platforms` are such as `linux/amd64`."""

    reference: Reference
    commit: str
    platforms: tuple[str, ...]
    sboms: tuple[str, ...]
    """The platforms with a bill of materials."""

    def require_sboms(self) -> None:
        """Raises `Failed` where a platform has none."""
        without = [platform for platform in self.platforms if platform not in self.sboms]
        if without:
            raise Failed(
                f"{self.reference} has no bill of materials for {', '.join(without)}",
                hint="build it with `docker buildx build --sbom=true`, with a builder of the driver docker-container",
            )


def read_image(registry: ImageRegistry) -> Image:
    """The image that the registry's reference names.

    Raises `Outside` where the registry does not show it, or shows something else; `Failed` where it does not say of
    which commit it was made.
    """
    content = registry.manifest(registry.reference.wanted)
    reference = registry.reference.at(digest_bytes(content))
    body = _parsed(content, reference)
    if ("manifests" in body) == ("layers" in body):
        raise _odd(reference, "neither an image nor an index of images")
    if "layers" in body:
        images, attested = {reference.digest: _of(_Manifest, body, reference)}, {}
    else:
        images, attested = _read_index(registry, _of(_Index, body, reference), reference)
    found = {digest: _configuration(registry, manifest) for digest, manifest in images.items()}
    commits = {_commit(one, reference) for one in found.values()}
    if len(commits) > 1:
        raise Failed(f"{reference} has images of several commits: {', '.join(one[:12] for one in sorted(commits))}")
    names = {digest: f"{one.os}/{one.architecture}" for digest, one in found.items()}
    sboms = tuple(name for digest, name in names.items() if digest in attested)
    return Image(reference, commits.pop(), tuple(names.values()), sboms)


def _read_index(
    registry: ImageRegistry, index: _Index, reference: Reference
) -> tuple[dict[str, _Manifest], dict[str, None]]:
    """The manifests of its images, and the digests of those with a bill of materials."""
    images: dict[str, _Manifest] = {}
    attested: dict[str, None] = {}
    for entry in index.manifests:
        body = _parsed(_exactly(registry, entry, reference), reference)
        if "manifests" in body:
            raise _odd(reference, "an index within an index")
        manifest = _of(_Manifest, body, reference)
        if entry.annotation("vnd.docker.reference.type") != "attestation-manifest":
            images[entry.digest] = manifest
        elif any(layer.annotation("in-toto.io/predicate-type") in SBOMS for layer in manifest.layers):
            attested[entry.annotation("vnd.docker.reference.digest")] = None
    if not images:
        raise _odd(reference, "an index without an image")
    return images, attested


def _exactly(registry: ImageRegistry, entry: _Descriptor, reference: Reference) -> bytes:
    content = registry.manifest(entry.digest)
    if len(content) != entry.size:
        raise _odd(reference, f"an index that says {entry.size} bytes of {entry.digest}, which has {len(content)}")
    return content


def _configuration(registry: ImageRegistry, manifest: _Manifest) -> _Configuration:
    if manifest.config.size > LARGEST:
        raise _odd(registry.reference, f"an image with a configuration of {manifest.config.size} bytes")
    content = registry.blob(manifest.config.digest)
    return _of(_Configuration, _parsed(content, registry.reference), registry.reference)


def _commit(configuration: _Configuration, reference: Reference) -> str:
    commit = (configuration.config.Labels or {}).get(REVISION, "")
    try:
        return _Revision(commit=commit).commit
    except ValidationError:
        said = f"is {commit[:60]!r}, which is not a commit" if commit else "is missing"
        raise Failed(
            f"nobody can say of which commit {reference} was made: its label {REVISION} {said}",
            hint=f"build it with `--label {REVISION}=$(git rev-parse HEAD)`",
        ) from None


class _Revision(_Part):
    commit: ObjectId


def _parsed(content: bytes, reference: Reference) -> dict[str, Any]:
    try:
        body = parse_json(content, "manifest")
    except BadInput as error:
        raise _odd(reference, error.message) from None
    if not isinstance(body, dict):
        raise _odd(reference, "no JSON object")
    return body


def _of(kind: type[Kind], body: dict[str, Any], reference: Reference) -> Kind:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise _odd(reference, first_fault(error)) from None


def _odd(reference: Reference, what: str) -> Outside:
    return Outside(f"what {reference.host} has as {reference} is not an image of the service: {what}")
