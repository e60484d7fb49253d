"""What a trial sees of its project: code, parameters and data of the training, and nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.datasets.remote import hash_of
from beampermit.errors import Failed
from beampermit.files import new_folder, write_bytes
from beampermit.trials.binding import Subject
from beampermit.trials.settings import FILE

TREES, DATA = "trees", "data"
"""In the folder of work: a folder for each tree, and the data that trees have in common."""


def cut_tree(subject: Subject, work: Path) -> Path:
    """The tree of a study in a folder of work, made if it is not there; nobody writes to it.

    The files that judge the model, and the raw data that they come from, are not in it. Raises `Failed` where data are
    not on this machine, or are not those of dvc.lock.
    """
    place = work / TREES / subject.tree_digest.removeprefix("sha256:")
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with new_folder(place) as folder:
        _fill(subject, work, folder)
    return place


def _fill(subject: Subject, work: Path, folder: Path) -> None:
    root = subject.project.root
    for path in dict.fromkeys((*subject.files, CONTRACT, *subject.lock.needed)):
        source = root / path
        if source.is_file() and not source.is_symlink():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    write_bytes(folder / FILE, _yaml(subject.params({})))
    for path, (md5, cached) in subject.data.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(_stored(work / DATA, md5, (cached, root / path), path), target)


def _stored(folder: Path, md5: str, places: tuple[Path, ...], path: str) -> Path:
    """The file with this md5 in the folder of data, brought there from the first place that has it."""
    stored = folder / md5
    if stored.is_file():
        return stored
    source = next((place for place in places if place.is_file() and _is(place, md5)), None)
    if source is None:
        raise Failed(
            "these data are not on this machine, or are not those of dvc.lock", file=path, hint="beampermit data pull"
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=folder)
    os.close(descriptor)
    try:
        shutil.copyfile(source, name)
        Path(name).chmod(0o444)
        Path(name).replace(stored)
    finally:
        Path(name).unlink(missing_ok=True)
    return stored


def _link(stored: Path, target: Path) -> None:
    """Large data are there once, however many trees have them."""
    try:
        os.link(stored, target)
    except OSError:  # a file system without links, or too many of them
        shutil.copyfile(stored, target)


def _yaml(content: dict[str, Any]) -> bytes:
    import io

    from ruamel.yaml import YAML

    stream = io.BytesIO()
    YAML(typ="safe", pure=True).dump(content, stream)
    return stream.getvalue()


def _is(file: Path, md5: str) -> bool:
    return hash_of(file) == md5 or hash_of(file, "md5-dos2unix") == md5
