"""The list of files that DVC keeps for a folder (a `.dir` object), read as something a stranger wrote."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from beampermit.datasets import paths
from beampermit.errors import BadInput
from beampermit.files import parse_json

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
    """Judge the bytes of a manifest whose name is `oid`, `<32 hex>.dir`."""
    if len(content) > LARGEST:
        return Manifest(oid, {}, (f"is larger than the {LARGEST >> 20} MiB allowed",))
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != oid.removesuffix(".dir"):
        return Manifest(oid, {}, (f"its bytes have the hash {found}, not {oid.removesuffix('.dir')}",))
    try:
        entries = parse_json(content, f"{oid[:2]}/{oid[2:]}")
    except BadInput as error:
        return Manifest(oid, {}, (error.message,))
    if not isinstance(entries, list):
        return Manifest(oid, {}, ("is not a list of files",))
    if len(entries) > MOST_ENTRIES:
        return Manifest(oid, {}, (f"names {len(entries)} files; {MOST_ENTRIES} are allowed",))
    return _judge(oid, entries)


def _judge(oid: str, entries: list[object]) -> Manifest:
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
