"""The list of files that DVC keeps for a folder (a `.dir` object), read as something a stranger wrote."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from beampermit.datasets import paths

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
    if files is not None and next(paths.clashes(files), None) is None:
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
        sound = all(map(HASH.fullmatch, files.values())) and all(map(paths.PLAIN.fullmatch, files))
    except (TypeError, KeyError):
        return None
    sound = sound and len(files) == len(entries) and set(map(len, entries)) <= {2}
    return files if sound and max(map(len, files), default=0) <= paths.SHORT else None


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
        elif reason := paths.fault(name):
            faults.append(f"the path {_short(name)} {reason}")
        else:
            names.append(name)
            files[name] = value
    faults += [f"{_short(one)} and {_short(other)} are one file on some systems" for one, other in paths.clashes(names)]
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return Manifest(oid, files, (*faults[:SHOWN], *more))


def _short(name: str) -> str:
    shown = ascii(name)
    return shown if len(shown) <= 80 else f"{shown[:77]}...'"
