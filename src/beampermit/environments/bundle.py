"""Everything that a lock needs in one folder or one tar, for machines without a network."""

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
    """What was written: the number of files, with uv often several of one package, and their bytes."""

    path: Path
    files: int
    size: int


def write(lock: Lock, files: Mapping[str, Path], to: Path, progress: Progress) -> Bundled:
    """Write `files` (path in the bundle -> file, hashed by whoever names it) to a folder or tar, the lock beside them.

    `to` is a tar by its ending; a file that is there already is not copied again: who installs hashes it. Raises
    `Outside` for what cannot be written.
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
    """The folder of a bundle; a tar is unpacked for as long as the block runs. Raises `BadInput`."""
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise BadInput("there is no bundle here", file=path)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(path) as packed:
                # Only plain files below the folder: a bundle travels on sticks, from people we may not know.
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
    """The same packages give the same bytes: no times, no owners, in order."""
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
