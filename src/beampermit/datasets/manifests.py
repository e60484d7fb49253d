"""The manifest of a folder that DVC tracks (a `.dir` object), read as untrusted input."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
PLAIN = re.compile(r"[\w-]+(?:\.[\w-]+)*(?:/[\w-]+(?:\.[\w-]+)*)*", re.ASCII)
"""Names of letters, digits, `_`, `-` and single inner dots: sound without further checks, if they are short."""
SHORT = 255
"""Bytes of a name that every file system allows."""
RESERVED = {".git", ".dvc", ".beampermit"}
LARGEST = 256 * 2**20
MOST_ENTRIES = 1_000_000
HASH = re.compile(r"[0-9a-f]{32}")
SHOWN = 5


@dataclass(frozen=True)
class Manifest:
    """Relative path -> hash of the files in a folder; `faults` says why it must not be checked out."""

    oid: str
    files: dict[str, str]
    faults: tuple[str, ...] = ()


def read_manifest(content: bytes, oid: str) -> Manifest:
    """Check the bytes of the manifest `oid`, `<32 hex>.dir`. Of a repeated key the last one counts, as for DVC."""
    import orjson

    if fault := _bytes_fault(content, oid):
        return Manifest(oid, {}, (fault,))
    try:
        entries = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return Manifest(oid, {}, (f"is not JSON: {error}",))
    if not isinstance(entries, list):
        return Manifest(oid, {}, ("is not a list of files",))
    files = _sound_entries(entries)
    if files is not None and next(clashes(files), None) is None:
        return Manifest(oid, files)
    return _read_entries(oid, entries)


def _bytes_fault(content: bytes, oid: str) -> str | None:
    """Why the bytes must not be parsed: another hash than their name, or too many values for memory.

    An entry needs one brace and two commas; the limits are wider, since file names may contain them too.
    """
    if len(content) > LARGEST:
        return f"is larger than {LARGEST >> 20} MiB"
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != oid.removesuffix(".dir"):
        return f"its bytes have the hash {digest}, not {oid.removesuffix('.dir')}"
    if (files := content.count(b'"relpath"')) > MOST_ENTRIES:
        return f"names {files} files; the limit is {MOST_ENTRIES}"
    if any(content.count(mark) > limit * MOST_ENTRIES for mark, limit in ((b"{", 4), (b"[", 4), (b",", 16))):
        return f"has more values than {MOST_ENTRIES} files need"
    return None


def _sound_entries(entries: list[Any]) -> dict[str, str] | None:
    """The files, if a fast check finds every entry sound; None if each entry must be checked by itself."""
    try:
        files = {entry["relpath"]: entry["md5"] for entry in entries}
        sound = all(map(HASH.fullmatch, files.values())) and all(map(PLAIN.fullmatch, files))
    except (TypeError, KeyError):
        return None
    sound = sound and len(files) == len(entries) and set(map(len, entries)) <= {2}
    return files if sound and max(map(len, files), default=0) <= SHORT else None


def _read_entries(oid: str, entries: list[Any]) -> Manifest:
    faults: list[str] = []
    files: dict[str, str] = {}
    names: list[str] = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or entry.keys() != {"md5", "relpath"}:
            faults.append(f"entry {number} does not have exactly the keys md5 and relpath")
            continue
        name, value = entry["relpath"], entry["md5"]
        if not isinstance(name, str) or not isinstance(value, str) or not HASH.fullmatch(value):
            faults.append(f"entry {number} has no md5 of 32 hexadecimal digits")
        elif reason := path_fault(name):
            faults.append(f"the path {_shorten(name)} {reason}")
        else:
            names.append(name)
            files[name] = value
    faults += [
        f"{_shorten(first)} and {_shorten(second)} are one file on some systems" for first, second in clashes(names)
    ]
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return Manifest(oid, files, (*faults[:SHOWN], *more))


def _shorten(name: str) -> str:
    shown = ascii(name)
    return shown if len(shown) <= 80 else f"{shown[:77]}...'"


def path_fault(path: str) -> str | None:
    """Why a path must not be used for data, or None. Sound paths are relative, POSIX and portable."""
    if len(path) <= SHORT and PLAIN.fullmatch(path):
        return None
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if not path or len(encoded) > 4096:
        return "is empty or longer than 4096 bytes"
    if CONTROL.search(path):
        return "contains a control character"
    if "\\" in path or path.startswith("/") or path[1:2] == ":":
        return "is not a relative path with forward slashes"
    return next((reason for part in path.split("/") if (reason := _part_fault(part))), None)


def clashes(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of paths that are one file on some system: equal but for case and Unicode form, or a file and a folder of
    the same name.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        folded = fold_path(path)
        if folded in files:
            yield files[folded], path
        files[folded] = path
        parent, original = folded, path
        while "/" in parent:
            parent, original = parent.rpartition("/")[0], original.rpartition("/")[0]
            if parent in folders:
                if folders[parent] != original:
                    yield folders[parent], original
                break  # its parents were compared when it was met first
            folders[parent] = original
    yield from ((files[folded], folders[folded]) for folded in files.keys() & folders.keys())


def fold_path(path: str) -> str:
    """The path as seen by a file system that ignores case and Unicode form."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _part_fault(part: str) -> str | None:
    if part in ("", ".", ".."):
        return f"has the part {part!r}"
    if fold_path(part).rstrip(" .") in RESERVED:
        return f"leads into {part!r}"
    return "has a part longer than 255 bytes" if len(part.encode()) > SHORT else None
