"""Scripts, and `beampermit WORDS`, where a folder is a small disk of its own: a mount that no other process sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.forked_pythons import COMMAND, forked

NONE = 77
"""Exit status where no disk can be mounted."""
MOUNT = f"""\
import ctypes, os, sys
from pathlib import Path
NEW_MOUNTS, NEW_USERS = 0x20000, 0x10000000
libc, user, group = ctypes.CDLL(None), os.getuid(), os.getgid()
place, size = sys.argv.pop(1), sys.argv.pop(1)
if libc.unshare(NEW_MOUNTS | NEW_USERS):
    sys.exit({NONE})
for file, text in (("setgroups", "deny"), ("uid_map", f"0 {{user}} 1"), ("gid_map", f"0 {{group}} 1")):
    Path("/proc/self", file).write_text(text)
if libc.mount(b"none", place.encode(), b"tmpfs", 0, f"size={{size}}k".encode()):
    sys.exit({NONE})
"""
"""For the begin of a script: its first two words are the folder, and the KiB of its disk."""


def on_small_disk(place: Path, size: int, *words: object, needs: tuple[str, ...]) -> tuple[int, str]:
    """The exit status and the errors of the command while `place` is a disk of `size` KiB."""
    code, _, errors = run_on_small_disk(COMMAND, place, size, *words, needs=("beampermit.cli.main", *needs))
    return code, errors


def run_on_small_disk(
    script: str, place: Path, size: int, *words: object, needs: tuple[str, ...]
) -> tuple[int, str, str]:
    """Exit status, output and errors of a script while `place` is a disk of `size` KiB."""
    place.mkdir()
    code, out, errors = forked(f"{MOUNT}{script}", place, size, *words, needs=needs).finish()
    if code == NONE:
        pytest.skip("no small disk can be mounted here")
    return code, out, errors
