"""Writes and opens bundles: the files that a lock needs in a folder or tar, for machines without a network."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from beampermit.environments.backend import Lock
from beampermit.errors import BadInput, Outside
from beampermit.files import replacing, write_text
from beampermit.progress import Progress


@dataclass(frozen=True)
class Bundled:
    """What was written: number of files (with uv often several of a package) and their bytes."""

    path: Path
    files: int
    size: int


def write(lock: Lock, files: Mapping[str, Path], to: Path, progress: Progress) -> Bundled:
    """Write `files` (path in the bundle -> file) and the lock to a folder, or to a tar if `to` ends in `.tar`.

    A file of the same size is not copied again: its hash is checked at installation. Raises `Outside`.
    """
    try:
        size = sum(file.stat().st_size for file in files.values())
        if to.suffix == ".tar":
            with tempfile.TemporaryDirectory(dir=_existing(to.parent)) as folder, replacing(to) as temporary:
                _fill(Path(folder), lock, files, progress)
                _pack(Path(folder), temporary)
        else:
            _fill(to, lock, files, progress)
    except OSError as error:
        raise Outside(f"the bundle cannot be written: {error.strerror}", file=to) from None
    return Bundled(to, len(files), size)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Give the folder of a bundle; a tar is unpacked while the block runs. Raises `BadInput`."""
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise BadInput("there is no such bundle", file=path)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(path) as packed:
                # Plain files below the folder only: a bundle may come from anybody.
                packed.extractall(folder, filter="data")
        except tarfile.TarError as error:
            raise BadInput(f"not a bundle: {error}", file=path) from None
        except OSError as error:
            raise Outside(f"the bundle cannot be unpacked: {error.strerror}", file=path) from None
        yield Path(folder)


def _fill(folder: Path, lock: Lock, files: Mapping[str, Path], progress: Progress) -> None:
    for number, (name, file) in enumerate(files.items(), 1):
        progress(f"copying files: {number} of {len(files)}")
        target = folder / name
        if target.is_file() and target.stat().st_size == file.stat().st_size:
            continue
        with replacing(target) as temporary:
            shutil.copyfile(file, temporary)
    write_text(folder / lock.file, lock.text)


def _pack(folder: Path, to: Path) -> None:
    """Write the tar sorted, without times and owners: the same packages give the same bytes."""
    with tarfile.open(to, "w", format=tarfile.PAX_FORMAT) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                member = packed.gettarinfo(path, path.relative_to(folder).as_posix())
                member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode = 0, 0, 0, "", "", 0o644
                with path.open("rb") as content:
                    packed.addfile(member, content)


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
