"""The site's own lists: the alarm tree in use, what the archiver keeps, and who is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.deployment.xml_lines import read_xml
from beampermit.errors import BadInput
from beampermit.reading import decode, parse_json

LARGEST = 256 * 2**20
MAIL = re.compile(r"[^@\s<>,;\"']+@[^@\s<>,;\"']+\.[^@\s<>,;\"']+")
FIELD = re.compile(r"\.[A-Z0-9_]+\$?$")
SCHEME = re.compile(r"^(pva|ca)://")


@dataclass(frozen=True)
class AlarmTree:
    """PVs of the tree, and those of them that are disabled in each place."""

    pvs: frozenset[str]
    disabled: frozenset[str]


def read_alarm_trees(files: Iterable[Path]) -> AlarmTree:
    """Exports of Phoebus, XML. Raises `BadInput` with file and line."""
    enabled, disabled = set[str](), set[str]()
    for file in files:
        found = 0
        for element in read_xml(_text(file), str(file)).walk():
            if element.tag == "pv":
                found += 1
                # A date there is when it begins to count again: that is a person's decision, with an end.
                off = element.of("enabled").strip().lower() == "false"
                (disabled if off else enabled).add(_record(element.attributes.get("name", "")))
        if not found:
            raise BadInput("this alarm tree has no PV", file=file, hint="give it as the alarm server exports it")
    return AlarmTree(frozenset(enabled | disabled), frozenset(disabled - enabled))


def read_archived(files: Iterable[Path]) -> frozenset[str]:
    """What `getAllPVs` of the Archiver Appliance gives, or lists for `archivePV`. Raises `BadInput`."""
    return frozenset(_record(pv) for file in files for pv in _archived(file))


def _archived(file: Path) -> Iterator[str]:
    entries = parse_json(_text(file).encode(), file)
    if not isinstance(entries, list) or not entries:
        raise BadInput("not a list of PVs, as `getAllPVs?limit=-1` of the archiver gives", file=file)
    for entry in entries:
        pv: Any = entry.get("pv", entry.get("pvName")) if isinstance(entry, dict) else entry
        if not isinstance(pv, str):
            raise BadInput("an entry of this list names no PV", file=file)
        yield pv


def read_people(file: Path) -> frozenset[str]:
    """The e-mail addresses in a text, in small letters; `#` begins a comment. Raises `BadInput` where there is none."""
    lines = (line.partition("#")[0] for line in _text(file).splitlines())
    people = frozenset(mail.lower() for line in lines for mail in MAIL.findall(line))
    if not people:
        raise BadInput("this list has no e-mail address, so every owner would be gone", file=file)
    return people


def _record(pv: str) -> str:
    """The record of a PV: without its protocol and its field."""
    return FIELD.sub("", SCHEME.sub("", pv.strip()))


def _text(file: Path) -> str:
    if not file.is_file():
        raise BadInput("there is no such file", file=file)
    if file.stat().st_size > LARGEST:
        raise BadInput(f"larger than {LARGEST} bytes", file=file)
    return decode(file.read_bytes(), file)
