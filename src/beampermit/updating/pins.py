"""Pins of our workflows and of the checker, which Dependabot moves and releases move: never back to an earlier one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

WORKFLOWS, IMAGE = ".github/workflows", "Containerfile"
PIN = re.compile(
    r"(?P<use>uses:\s*['\"]?[\w.-]+/[\w.-]+/\.github/workflows/ml-[\w-]+\.yml)@(?P<commit>[0-9a-f]{40})(?P<end>['\"]?)"
    r"(?P<comment>[ \t]+#[^\r\n]*)?"
)
IN_IMAGE = re.compile(r"(?P<use>\.git)#(?P<commit>[0-9a-f]{40})")
TAG = re.compile(r"\s*#\s*(?:workflows-)?(?P<version>v?\d\S*)\s*")
"""What stands beside a pin; `scripts/release.py` writes `# workflows-v1.2.3`."""


def follow_pins(base: Path, ours: Path, new: Path) -> None:
    """Where Dependabot, or a person, moved the pins of our workflows, the renders get the later pin of the two.

    Such a move is not an edit that a newer template could conflict with. Pins are compared by the versions beside them;
    where these say nothing, the project's stays if somebody has moved it. A template whose pins are earlier, such as
    that of the first commit of a release, moves none back.
    """
    versions: dict[str, Version] = {}
    for file in sorted((new / WORKFLOWS).glob("*.yml")):
        name = file.relative_to(new)
        old, own, theirs = (_text(folder / name) for folder in (base, ours, new))
        before, here, after = (PIN.search(text) for text in (old, own, theirs))
        versions |= {pin["commit"]: version for pin in (before, here, after) if pin and (version := _version(pin))}
        if not (before and here and after):
            continue
        moved = here["commit"] != before["commit"]
        mine, other = _version(here), _version(after)
        stays = mine >= other if mine and other else moved
        if moved or stays:
            _write(base / name, _pinned(old, here))
            # What is taken from the template is a change; what is kept is none.
            _write(file, _pinned(theirs, here if stays else after))
    _follow_in_image(base / IMAGE, _text(ours / IMAGE), new / IMAGE, versions)


def _follow_in_image(base: Path, own: str, new: Path, versions: Mapping[str, Version]) -> None:
    """No version stands beside that pin: it is of the commits that workflows are pinned to."""
    old, theirs = _text(base), _text(new)
    here, after = IN_IMAGE.search(own), IN_IMAGE.search(theirs)
    if not (old and here and after):
        return
    mine, other = (versions.get(pin["commit"]) for pin in (here, after))
    if mine and other and mine >= other:
        for file, text in ((base, old), (new, theirs)):
            _write(file, IN_IMAGE.sub(rf"\g<use>#{here['commit']}", text))


def _version(pin: re.Match[str]) -> Version | None:
    tag = TAG.fullmatch(pin["comment"] or "")
    try:
        return Version(tag["version"]) if tag else None
    except InvalidVersion:
        return None


def _pinned(text: str, pin: re.Match[str]) -> str:
    return PIN.sub(lambda match: f"{match['use']}@{pin['commit']}{match['end']}{pin['comment'] or ''}", text)


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return ""


def _write(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
