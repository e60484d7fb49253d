"""Files of `src/<package>/pipeline/`, which are Beampermit's, that a project has edited, removed or added.

The folder has a record of the version that it came with, `digests.json`, which is written with the project: so files of
another version are not taken for edited ones. The record is the project's, and an edit of it is no secret: what is
found here is a warning, and no interlock asks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, Problem
from beampermit.git import SUBMODULE
from beampermit.project import Project
from beampermit.reading import parse_json
from beampermit.record import Digest, Record, Text
from beampermit.template import PACKAGE, PROJECT, template_folder

RECORD = "digests.json"
PLACE = re.compile(r"(?P<folder>src/[^/]+/pipeline)/(?P<name>.+)")
LARGEST = 2**20
"""Bytes of a file that is looked at; a larger one differs."""


class Pipeline(Record):
    """The folder of a project's pipeline, and names of files in it that differ from those it came with.

    `other_version` where it came with another version of Beampermit than this checker.
    """

    folder: Text
    edited: tuple[Text, ...] = ()
    removed: tuple[Text, ...] = ()
    added: tuple[Text, ...] = ()
    other_version: bool = False

    @property
    def differs(self) -> bool:
        return bool(self.edited or self.removed or self.added)

    @property
    def paths(self) -> tuple[str, ...]:
        """Each file that differs, with its folder."""
        return tuple(f"{self.folder}/{name}" for name in (*self.edited, *self.removed, *self.added))


class _Digests(Record):
    files: dict[str, Digest]


def compare_pipelines(project: Project) -> tuple[Pipeline, ...]:
    """Each pipeline folder of the project, compared with the checker's own, or with the version it came with.

    A folder of that name without our record and without any of our files is the project's own.
    """
    own = own_digests()
    found: dict[str, dict[str, Path]] = {}
    for path, mode in project.git.work_files().items():
        file = project.root / path
        if mode != SUBMODULE and (match := PLACE.fullmatch(path)) and (file.is_file() or file.is_symlink()):
            found.setdefault(match["folder"], {})[match["name"]] = file
    compared = (_compare(folder, files, own) for folder, files in sorted(found.items()))
    return tuple(filter(None, compared))


def own_digests() -> dict[str, str]:
    """Name -> digest of each file of the pipeline in the checker's template; empty where it has none."""
    folder = template_folder() / PROJECT / "src" / PACKAGE / "pipeline"
    return {file.relative_to(folder).as_posix(): digest_of_file(file) for file in sorted(folder.rglob("*.py"))}


def pipeline_problems(pipelines: Iterable[Pipeline]) -> Iterator[Problem]:
    """As `beampermit contract check --code` lists them."""
    for pipeline in pipelines:
        for names, what, fix in (
            (pipeline.edited, "it is edited", "Undo the edit; what only this project needs goes beside this folder."),
            (pipeline.removed, "it is missing", "Take it from the commit in which the project was generated."),
            (pipeline.added, "it is added", "Move it beside this folder."),
        ):
            for name in names:
                yield Problem(f"{what}, and this folder is Beampermit's", f"{pipeline.folder}/{name}", None, fix)


def version_notes(pipelines: Iterable[Pipeline]) -> list[str]:
    """One sentence for each folder of another version than this checker."""
    return [
        f"{pipeline.folder} came with another version of Beampermit than this checker; its files are compared with "
        f"those of that version, by {RECORD}."
        for pipeline in pipelines
        if pipeline.other_version
    ]


def _compare(folder: str, files: Mapping[str, Path], own: Mapping[str, str]) -> Pipeline | None:
    digests = {name: digest_of_file(file) for name, file in files.items() if name != RECORD}
    record = _read_record(files[RECORD]) if RECORD in files else None
    if record is None and not any(digests.get(name) == digest for name, digest in own.items()):
        return None
    came_with = own if record is None else record
    unreadable = (RECORD,) if record is None and RECORD in files else ()
    missing = (RECORD,) if RECORD not in files else ()
    return Pipeline(
        folder=folder,
        edited=(*unreadable, *(name for name in came_with if name in digests and digests[name] != came_with[name])),
        removed=(*missing, *(name for name in came_with if name not in digests)),
        added=tuple(name for name in digests if name not in came_with),
        other_version=record is not None and record != own,
    )


def _read_record(file: Path) -> dict[str, str] | None:
    """None for a record that is not as it was written."""
    try:
        if file.is_symlink() or file.stat().st_size > LARGEST:
            return None
        return _Digests.model_validate(parse_json(file.read_bytes(), file)).files
    except (BadInput, ValueError):
        return None


def digest_of_file(file: Path) -> str:
    """Digest of a file with the line ends of the template; a checkout may have others."""
    if file.is_symlink() or file.stat().st_size > LARGEST:
        return ""
    return digest_bytes(file.read_bytes().replace(b"\r\n", b"\n"))
