"""Which submitter has a unit: two that share a folder of work do no unit twice, and a killed one keeps none."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from beampermit.compute.unit import CLAIM, make_folder
from beampermit.errors import Outside
from beampermit.files import remove

RUNS = "runs"
NAME = re.compile(r"[0-9a-f]{16}")


class Claims:
    """The claims of one submitter: a link in each unit's folder names it, and it holds the lock of its own file.

    No clock and no process id is compared, so machines may differ in both.
    """

    def __init__(self, work: Path):
        self._runs = work / RUNS
        self._runs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.name = secrets.token_hex(8)
        self._lock = _locked(self._runs / self.name)
        if self._lock is None:
            hint = "take a folder of work on a disk with file locks: --work, or BEAMPERMIT_CACHE"
            raise Outside("files cannot be locked here, so that nobody sees who does what", file=self._runs, hint=hint)

    def take(self, folder: Path) -> bool:
        """Make the folder of a unit and claim it; False where a submitter that lives has it."""
        make_folder(folder)
        claim = folder / CLAIM
        while True:
            with suppress(FileExistsError):
                claim.symlink_to(self.name)
            owner = _owner(claim)
            if owner == self.name:
                return True
            if owner is None:
                continue  # just given back
            # Whoever holds the lock of a dead owner takes over its claims; others wait for another round.
            lock = _locked(self._runs / owner)
            if lock is None:
                return False
            try:
                if _owner(claim) == owner:
                    remove(claim)
            finally:
                os.close(lock)

    def give_back(self, folder: Path) -> None:
        claim = folder / CLAIM
        if _owner(claim) == self.name:
            claim.unlink(missing_ok=True)

    def close(self) -> None:
        """End: what is still claimed may be taken by others."""
        if self._lock is not None:
            with suppress(OSError):
                (self._runs / self.name).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None


def _owner(claim: Path) -> str | None:
    """The submitter that a claim names; a name that is none is nobody's, whose lock anybody gets."""
    try:
        name = str(claim.readlink())
    except FileNotFoundError:
        return None
    except OSError:
        return "0" * 16
    return name if NAME.fullmatch(name) else "0" * 16


def _locked(file: Path) -> int | None:
    """The open file with its lock; None while another process has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
