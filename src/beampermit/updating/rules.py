"""What is not merged by lines: the pipeline, the pins that Dependabot moves, what a folder of a repository lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

from beampermit.code.pipeline import RECORD
from beampermit.errors import BadInput
from beampermit.reading import parse_json
from beampermit.updating.trees import Files

WORKFLOWS = ".github/workflows"
PIN = re.compile(
    r"(?P<use>uses:\s*['\"]?[\w.-]+/[\w.-]+/\.github/workflows/ml-[\w-]+\.yml)@(?P<commit>[0-9a-f]{40})(?P<end>['\"]?)"
    r"(?P<comment>[ \t]+#[^\n]*)?"
)
OF_REPOSITORY = (".github/", "CODEOWNERS")
"""What GitHub reads at the top of a repository alone: a project in a folder has it elsewhere, written by hand."""


def pipeline_of(ours: Files, package: str) -> str:
    """The folder of the project's pipeline, with a slash at its end; empty where it has none of ours."""
    theirs = f"src/{package}/pipeline/"
    folders = [path.removesuffix(RECORD) for path in ours if re.fullmatch(rf"src/[^/]+/pipeline/{RECORD}", path)]
    return theirs if theirs in folders else folders[0] if len(folders) == 1 else ""


def take_pipeline(base: Files, ours: Files, new: Files, package: str, folder: str, came: Iterable[str]) -> None:
    """Make the pipeline in `folder` of all three the new template's, so that it comes along unmerged.

    `came` are the names that it came with: what others have put beside these stays. A project without a pipeline gets
    none.
    """
    theirs = f"src/{package}/pipeline/"
    fresh = {path.removeprefix(theirs): new.pop(path) for path in sorted(new) if path.startswith(theirs)}
    for path in [path for path in base if path.startswith(theirs)]:
        del base[path]
    if not folder:
        return
    for name in came:
        ours.pop(folder + name, None)
    for name, entry in fresh.items():
        base[folder + name] = new[folder + name] = ours[folder + name] = entry


def came_with(folder: Path) -> dict[str, str]:
    """Name -> digest of each file that a pipeline came with; empty where its record cannot be read."""
    try:
        found = parse_json((folder / RECORD).read_bytes(), RECORD)["files"]
        return {str(name): str(digest) for name, digest in found.items()}
    except (BadInput, OSError, TypeError, KeyError, AttributeError):
        return {}


def leave_out_of_folder(base: Files, ours: Files, new: Files) -> list[str]:
    """Drop what only the top of a repository has; which of it the new template has otherwise than the old one."""
    changed = []
    for path in sorted({*base, *new}):
        if not path.startswith(OF_REPOSITORY) or path in ours:
            continue
        if base.pop(path, None) != new.pop(path, None):
            changed.append(path)
    return changed


def follow_pins(base: Path, ours: Path, new: Path) -> None:
    """Where Dependabot, or a person, moved the pins of our workflows, the renders get the later pin of the two.

    Such a move is no edit that a newer template could conflict with. Pins are compared by the versions beside them;
    where these say nothing, the project's stays.
    """
    for file in sorted((new / WORKFLOWS).glob("*.yml")):
        name = file.relative_to(new)
        old, own = (_text(folder / name) for folder in (base, ours))
        theirs = _text(file)
        before, here, after = (PIN.search(text) for text in (old, own, theirs))
        if not (before and here and after) or here.group("commit") == before.group("commit"):
            continue
        kept = _later(here, after)
        _write(base / name, _pinned(old, here))
        # What is taken from the template is a change; what is kept is none.
        _write(file, _pinned(theirs, kept))


def _later(here: re.Match[str], after: re.Match[str]) -> re.Match[str]:
    versions = [_version(match.group("comment") or "") for match in (here, after)]
    return after if versions[0] and versions[1] and versions[1] > versions[0] else here


def _version(comment: str) -> Version | None:
    try:
        return Version(comment.strip().removeprefix("#").strip())
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
