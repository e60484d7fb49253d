"""Names that data may have: inside the project, away from git's and DVC's own folders, the same on every system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
PLAIN = re.compile(r"[\w-]+(?:\.[\w-]+)*(?:/[\w-]+(?:\.[\w-]+)*)*", re.ASCII)
"""Names of letters, digits, `_`, `-` and single dots inside: nothing more is to be asked of them, if they are short."""
SHORT = 255
"""Bytes that a name may have on every system."""
RESERVED = {".git", ".dvc", ".beampermit"}


def fault(path: str) -> str | None:
    """Why a relative POSIX path is no name for data, or None if it is one."""
    if len(path) <= SHORT and PLAIN.fullmatch(path):
        return None
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if not path or len(encoded) > 4096:
        return "is empty or longer than 4096 bytes"
    if CONTROL.search(path):
        return "holds a control character"
    if "\\" in path or path.startswith("/") or path[1:2] == ":":
        return "is not a relative path with forward slashes"
    return next((found for part in path.split("/") if (found := _part_fault(part))), None)


def clashes(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of paths that are one file on some system: the same, or different only in case or in Unicode form,
    or one a file and the other a folder of the same name.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        folded = fold(path)
        if folded in files:
            yield files[folded], path
        files[folded] = path
        parent, original = folded, path
        while "/" in parent:
            parent, original = parent.rpartition("/")[0], original.rpartition("/")[0]
            if parent in folders:
                if folders[parent] != original:
                    yield folders[parent], original
                break  # those above it were looked at when it was met first
            folders[parent] = original
    yield from ((files[folded], folders[folded]) for folded in files.keys() & folders.keys())


def fold(path: str) -> str:
    """The path as a file system that ignores case and Unicode form sees it."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _part_fault(part: str) -> str | None:
    if part in ("", ".", ".."):
        return f"has the part {part!r}"
    if fold(part).rstrip(" .") in RESERVED:
        return f"goes into {part!r}"
    return "has a part longer than 255 bytes" if len(part.encode()) > SHORT else None
