"""The image in a kustomization: the one that the ledger has for the version in service, by its digest.

No interlock compares it. An image holds the checker and one environment; the service follows the ledger whatever image
it began in, so an older one is not a fault, and an event of the ledger must not fail a project's files.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from beampermit.containers.reference import Reference, parse_reference
from beampermit.deployment.kubernetes import documents
from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.files import write_text
from beampermit.project import Project
from beampermit.reading import decode
from beampermit.registry.event import Event
from beampermit.registry.images import find_image
from beampermit.registry.ledger import Ledger

KUSTOMIZATION = "kustomization.yaml"
COMMENTED = re.compile(r"^# images:\n#   - \{.*\}\n", re.MULTILINE)
"""What a new file has in the place of the image."""
SCALAR = re.compile(r""""[^"\\]*"|'[^']*'|[^\s,{}\[\]#"'&*!|>]+""")


@dataclass(frozen=True)
class Found:
    """`event` is the line of the ledger that names the champion's image; `note` says why one is not used."""

    event: Event | None = None
    note: str = ""


def recorded_image(project: Project) -> Found:
    """As the ledger on origin has it, or as it was last fetched where origin does not answer."""
    ledger, model = Ledger(project.git), project.contract.model.name
    try:
        with suppress(Outside):
            ledger.fetch()
        if ledger.state(model).champion is None:
            return Found()
        return Found(find_image(ledger, model))
    except BeampermitError as error:
        return Found(note=f"the image of the ledger is not used: {error}")


def set_image(project: Project, folder: str, name: str, image: str) -> bool:
    """Have the kustomization in `folder` name this image; False where it does so in a way that a person has to change.

    Raises `BadInput` for a file that cannot be read.
    """
    file = f"{PurePosixPath(folder, KUSTOMIZATION)}"
    path = project.path(file)
    before = decode(path.read_bytes(), file)
    after = with_image(before, name, image, file)
    if after is not None and after != before:
        write_text(path, after)
    return after is not None


def with_image(text: str, name: str, image: str, file: str) -> str | None:
    """A kustomization in which the image `name` is `image`, all else as it was; None where a person has to write it.

    Raises `BadInput` for a file that is not YAML.
    """
    wanted = parse_reference(image)
    changed = _changed(text, name, wanted, file)
    return changed if changed is not None and _says(changed, name, wanted, file) else None


def _changed(text: str, name: str, wanted: Reference, file: str) -> str | None:
    listed, entry = _images(text, name, file)
    new = f'- {{name: {name}, newName: "{wanted.repository}", digest: "{wanted.digest}"}}\n'
    lines = text.splitlines(keepends=True)
    if entry is not None:
        return _replaced(lines, entry, {"newName": wanted.repository, "digest": wanted.digest})
    if listed is None:
        block = f"images:\n  {new}"
        with_block, count = COMMENTED.subn(lambda _: block, text, count=1)
        return with_block if count else f"{text.rstrip()}\n{block}"
    first = listed.lc.item(0)[0] if listed else 0
    indent, dash, _ = lines[first].partition("-")
    if not listed or not dash or indent.strip():
        return None
    return "".join([*lines[:first], f"{indent}{new}", *lines[first:]])


def _replaced(lines: list[str], entry: Any, values: dict[str, str]) -> str | None:
    """The lines with other values in an entry that has them all."""
    if not values.keys() <= entry.keys():
        return None
    # From the end, so that the places of what stands before stay as they are.
    for key in sorted(values, key=entry.lc.value, reverse=True):
        line, column = entry.lc.value(key)
        match = SCALAR.match(lines[line], column)
        if match is None:
            return None
        lines[line] = f'{lines[line][:column]}"{values[key]}"{lines[line][match.end() :]}'
    return "".join(lines)


def _says(text: str, name: str, wanted: Reference, file: str) -> bool:
    try:
        _, entry = _images(text, name, file)
    except BadInput:  # such as a mapping in braces, behind which nothing can stand
        return False
    return entry is not None and (entry.get("newName"), entry.get("digest")) == (wanted.repository, wanted.digest)


def _images(text: str, name: str, file: str) -> tuple[Any, Any]:
    """The list `images`, None where there is none, and its entry of this name."""
    found = [one["images"] for one in documents(text, file) if isinstance(one, dict) and "images" in one]
    if not found:
        return None, None
    listed = found[0] if isinstance(found[0], list) else []
    entries = [one for one in listed if isinstance(one, dict) and one.get("name") == name]
    return listed, entries[0] if entries else None
