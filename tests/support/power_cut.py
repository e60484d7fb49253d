"""What a disk has after a power cut: what was flushed of a file, where its entry in its folder was flushed too."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest


class Disk:
    """Notes each `fsync`, from here on; `folder` and what is in it now are on the disk."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        self._folder = folder
        self._contents: dict[int, bytes] = {}
        """inode -> the bytes that were flushed."""
        self._entries: dict[int, dict[str, tuple[int, bool]]] = {}
        """inode of a folder -> name -> inode, and whether it is a folder."""
        self._flush, flush = os.fsync, self._noted
        for one in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            self._note(one, one.stat().st_ino)
        patch.setattr(os, "fsync", flush)

    def after_a_power_cut(self, into: Path) -> Path:
        """Lay out in `into` what there is."""
        self._lay_out(self._folder.stat().st_ino, into)
        return into

    def _noted(self, descriptor: int) -> None:
        self._flush(descriptor)
        status = os.fstat(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}")
        if stat.S_ISDIR(status.st_mode):
            self._note(path, status.st_ino)
        else:
            self._contents[status.st_ino] = path.read_bytes()

    def _note(self, folder: Path, inode: int) -> None:
        with os.scandir(folder) as entries:
            self._entries[inode] = {one.name: (one.inode(), one.is_dir(follow_symlinks=False)) for one in entries}

    def _lay_out(self, inode: int, into: Path) -> None:
        into.mkdir()
        for name, (inside, is_folder) in self._entries.get(inode, {}).items():
            if is_folder:
                self._lay_out(inside, into / name)
            else:
                (into / name).write_bytes(self._contents.get(inside, b""))
