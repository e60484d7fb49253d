"""The bill of materials that a permit binds: CycloneDX of exactly the lock that it binds too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beampermit.digest import digest_bytes, digest_file
from beampermit.errors import BadInput, Tripped
from beampermit.reading import read_json

PROPERTY = "beampermit:lock:digest"
LARGEST = 256 * 2**20


def bill(file: Path, lock: Path) -> dict[str, str]:
    """The file's name and digest. Raises `BadInput` for what is no bill of ours, `Tripped` for that of another lock."""
    content = read_json(file, limit=LARGEST)
    said = _property(content) if isinstance(content, dict) else None
    if said is None:
        raise BadInput(
            f"this is no bill of materials with {PROPERTY}", file=file, hint=f"beampermit env sbom --out {file}"
        )
    if said != digest_bytes(lock.read_bytes().replace(b"\r\n", b"\n")):
        raise Tripped(
            f"this bill of materials is not of the {lock.name} here",
            file=file,
            hint=f"beampermit env sbom --out {file}",
        )
    return {"file": file.name, "digest": digest_file(file)}


def _property(content: dict[str, Any]) -> str | None:
    """What the document says of the lock it was made of."""
    metadata = content.get("metadata")
    listed = metadata.get("properties") if isinstance(metadata, dict) else None
    named = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return next((str(one.get("value")) for one in named if one.get("name") == PROPERTY), None)
