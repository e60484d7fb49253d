"""The bill of materials that a permit binds: CycloneDX of exactly the locks that it binds."""

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
    """Name and digest of the file, which must list exactly the packages of `locks`, files of the project at `root`.

    Raises `BadInput` for a file that `env sbom` did not write, `Failed` for one of other locks.
    """
    content = read_json(file, limit=LARGEST)
    digests = _lock_digests(content)
    again = f"beampermit env sbom --out {file}"
    if not digests:
        raise BadInput(f"not a bill of materials with the property {DIGEST}", file=file, hint=again)
    for lock in locks:
        if digests.pop(lock, None) != digest_bytes((root / lock).read_bytes().replace(b"\r\n", b"\n")):
            raise Failed(f"the bill of materials is not of the current {lock}", file=file, hint=again)
    if digests:
        lock = next(iter(digests))
        raise Failed(
            f"the bill of materials also lists {lock}, which is not in the commit",
            file=file,
            hint=f"commit or delete {lock}, then run `{again}`",
        )
    expected = sbom(backend_of(root).read(root), root.name)
    for part in ("components", "dependencies"):
        if content.get(part) != expected[part]:
            raise Failed(f"the {part} in the bill of materials are not those of the locks", file=file, hint=again)
    return {"file": file.name, "digest": digest_file(file)}


def _lock_digests(content: Any) -> dict[str, str]:
    """Lock file -> digest, as the document lists the locks that it was made from."""
    metadata = content.get("metadata") if isinstance(content, dict) else None
    properties = metadata.get("properties") if isinstance(metadata, dict) else None
    rows = [row for row in properties if isinstance(row, dict)] if isinstance(properties, list) else []
    files, digests = ([str(row.get("value")) for row in rows if row.get("name") == name] for name in (LOCK, DIGEST))
    return dict(zip(files, digests, strict=True)) if len(files) == len(digests) else {}
