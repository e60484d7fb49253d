"""The list of files that DVC keeps for a folder (a `.dir` object), read as something a stranger wrote."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

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


LARGEST = 256 * 2**20
MOST_ENTRIES = 1_000_000
HASH = re.compile(r"[0-9a-f]{32}")
SHOWN = 5


@dataclass(frozen=True)
class Manifest:
    """The files of one folder by relative path, with their hashes; `faults` says why it must not be checked out."""

    oid: str
    files: dict[str, str]
    faults: tuple[str, ...] = ()


def read(content: bytes, oid: str) -> Manifest:
    """Judge the bytes of a manifest whose name is `oid`, `<32 hex>.dir`.

    A key that is given twice counts as it does for DVC: the last one.
    """
    import orjson

    if fault := _bytes_fault(content, oid):
        return Manifest(oid, {}, (fault,))
    try:
        entries = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return Manifest(oid, {}, (f"is not JSON: {error}",))
    if not isinstance(entries, list):
        return Manifest(oid, {}, ("is not a list of files",))
    files = _plain(entries)
    if files is not None and next(clashes(files), None) is None:
        return Manifest(oid, files)
    return _judge(oid, entries)


def _bytes_fault(content: bytes, oid: str) -> str | None:
    """Why the bytes must not even be parsed: not those of the name, or more values than memory should hold.

    Each entry has one brace and two commas, but names may have more of them in them: the limits are wide.
    """
    if len(content) > LARGEST:
        return f"is larger than the {LARGEST >> 20} MiB allowed"
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != oid.removesuffix(".dir"):
        return f"its bytes have the hash {found}, not {oid.removesuffix('.dir')}"
    if (files := content.count(b'"relpath"')) > MOST_ENTRIES:
        return f"names {files} files; {MOST_ENTRIES} are allowed"
    if any(content.count(mark) > limit * MOST_ENTRIES for mark, limit in ((b"{", 4), (b"[", 4), (b",", 16))):
        return f"holds more than {MOST_ENTRIES} files can need"
    return None


def _plain(entries: list[Any]) -> dict[str, str] | None:
    """The files of a list in which each entry is sound at a glance; None where a closer look must say what is wrong."""
    try:
        files = {entry["relpath"]: entry["md5"] for entry in entries}
        sound = all(map(HASH.fullmatch, files.values())) and all(map(PLAIN.fullmatch, files))
    except (TypeError, KeyError):
        return None
    sound = sound and len(files) == len(entries) and set(map(len, entries)) <= {2}
    return files if sound and max(map(len, files), default=0) <= SHORT else None


def _judge(oid: str, entries: list[Any]) -> Manifest:
    faults: list[str] = []
    files: dict[str, str] = {}
    names: list[str] = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or entry.keys() != {"md5", "relpath"}:
            faults.append(f"entry {number} is not a name with a hash")
            continue
        name, value = entry["relpath"], entry["md5"]
        if not isinstance(name, str) or not isinstance(value, str) or not HASH.fullmatch(value):
            faults.append(f"entry {number} has no hash of 32 hexadecimal digits")
        elif reason := fault(name):
            faults.append(f"the path {_short(name)} {reason}")
        else:
            names.append(name)
            files[name] = value
    faults += [f"{_short(one)} and {_short(other)} are one file on some systems" for one, other in clashes(names)]
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return Manifest(oid, files, (*faults[:SHOWN], *more))


def _short(name: str) -> str:
    shown = ascii(name)
    return shown if len(shown) <= 80 else f"{shown[:77]}...'"
