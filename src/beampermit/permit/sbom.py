"""The bill of materials that a permit binds: CycloneDX of exactly the locks that it binds too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beampermit.digest import digest_bytes, digest_file
from beampermit.environments.choice import backend_of
from beampermit.environments.sbom import DIGEST, LOCK, sbom
from beampermit.errors import BadInput, Failed
from beampermit.reading import read_json

LARGEST = 256 * 2**20


def bind_sbom(file: Path, root: Path, locks: Sequence[str]) -> dict[str, str]:
    """The file's name and digest. It must be of all the locks that a permit binds, of no other, and hold what they do.

    `locks` are files of the project at `root`. Raises `BadInput` for what is no bill of ours, `Failed` for another.
    """
    content = read_json(file, limit=LARGEST)
    said = _locks(content)
    again = f"beampermit env sbom --out {file}"
    if not said:
        raise BadInput(f"this is no bill of materials with {DIGEST}", file=file, hint=again)
    for lock in locks:
        if said.pop(lock, None) != digest_bytes((root / lock).read_bytes().replace(b"\r\n", b"\n")):
            raise Failed(f"this bill of materials is not of the {lock} here", file=file, hint=again)
    if said:
        words = f"this bill of materials is of {next(iter(said))} as well, which is not in the commit"
        raise Failed(words, file=file, hint=f"git add or remove that lock, then {again}")
    made = sbom(backend_of(root).read(root), root.name)
    for part in ("components", "dependencies"):
        if content.get(part) != made[part]:
            raise Failed(f"the {part} of this bill of materials are not those of the locks", file=file, hint=again)
    return {"file": file.name, "digest": digest_file(file)}


def _locks(content: Any) -> dict[str, str]:
    """What the document says it was made of: file of a lock -> its digest."""
    metadata = content.get("metadata") if isinstance(content, dict) else None
    listed = metadata.get("properties") if isinstance(metadata, dict) else None
    named = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    files, digests = ([str(one.get("value")) for one in named if one.get("name") == name] for name in (LOCK, DIGEST))
    return dict(zip(files, digests, strict=True)) if len(files) == len(digests) else {}
