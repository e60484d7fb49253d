"""What is not merged by lines: the pipeline, and what a folder of a repository lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from beampermit.code.pipeline import RECORD, digest_of_file
from beampermit.errors import BadInput
from beampermit.reading import parse_json
from beampermit.updating.trees import Files

OF_REPOSITORY = (".github/", "CODEOWNERS")
"""What GitHub reads at the top of a repository alone: a project in a folder has it elsewhere, written by hand."""


def take_pipeline(root: Path, base: Files, ours: Files, new: Files, package: str) -> list[str]:
    """Make the project's pipeline in all three the new template's, so that it comes along unmerged; what is said of it.

    What others have put beside the files that it came with stays; where the new template has a file of that name, git
    merges the two. A project without a pipeline gets none.
    """
    theirs = f"src/{package}/pipeline/"
    fresh = {path.removeprefix(theirs): new.pop(path) for path in sorted(new) if path.startswith(theirs)}
    for path in [path for path in base if path.startswith(theirs)]:
        del base[path]
    folder = _pipeline_of(ours, theirs, fresh)
    if not folder:
        own = any(path.startswith(theirs) for path in ours)
        return [f"{theirs} has no {RECORD} and other files than the template's, and stays as it is"] if own else []
    here = {path.removeprefix(folder): ours[path] for path in ours if path.startswith(folder)}
    came = came_with(root / folder)
    changed = {name for name in here.keys() & fresh.keys() if here[name] != fresh[name]} - {RECORD}
    if came is None:
        notes, own = [_untold(folder, sorted(changed))] if changed else [], set[str]()
    else:
        notes = [*_edits(root, folder, {name: came[name] for name in came if name in here})]
        own = changed - came.keys()
        for name in came:
            ours.pop(folder + name, None)
    for name, entry in fresh.items():
        new[folder + name] = entry
        if name not in own:
            base[folder + name] = ours[folder + name] = entry
    return notes + [f"{folder}{name} is yours, and the new template has a file of that name" for name in sorted(own)]


def _pipeline_of(ours: Files, theirs: str, fresh: Iterable[str]) -> str:
    """The folder of the project's pipeline, with a slash at its end; empty where it has none of ours.

    Its record tells; without one, that it has most of the files.
    """
    folders = [path.removesuffix(RECORD) for path in ours if re.fullmatch(rf"src/[^/]+/pipeline/{RECORD}", path)]
    if theirs in folders or len(folders) == 1:
        return theirs if theirs in folders else folders[0]
    names = [name for name in fresh if name != RECORD]
    return theirs if 2 * sum(theirs + name in ours for name in names) > len(names) else ""


def came_with(folder: Path) -> dict[str, str] | None:
    """Name -> digest of each file that a pipeline came with; None where its record cannot be read."""
    try:
        found = parse_json((folder / RECORD).read_bytes(), RECORD)["files"]
        return {str(name): str(digest) for name, digest in found.items()}
    except (BadInput, OSError, TypeError, KeyError, AttributeError):
        return None


def _edits(root: Path, folder: str, came: Mapping[str, str]) -> Iterator[str]:
    """What is said of a pipeline that somebody has edited: the new one is written over it."""
    for name in sorted(came):
        file = root / folder / name
        if file.is_file() and digest_of_file(file) != came[name]:
            yield f"{folder}{name} was edited here, and is replaced; the edit is in git: git show HEAD:./{folder}{name}"


def _untold(folder: str, changed: list[str]) -> str:
    return (
        f"{folder} has no {RECORD} that can be read, so edits of yours are not known: replaced are {', '.join(changed)}"
        f"; what was there is in git: git show HEAD:./{folder}{changed[0]}"
    )


def leave_out_of_folder(base: Files, ours: Files, new: Files) -> list[str]:
    """Drop what only the top of a repository has; which of it the new template has otherwise than the old one."""
    changed = []
    for path in sorted({*base, *new}):
        if not path.startswith(OF_REPOSITORY) or path in ours:
            continue
        if base.pop(path, None) != new.pop(path, None):
            changed.append(path)
    return changed
