"""Completes `uv.lock`: uv gives no hash for a wheel that it found in a local folder, and keeps one that is there."""

from __future__ import annotations

import re
from pathlib import Path

from beampermit.digest import digest_file
from beampermit.environments.uv.lockfile import FILE, parse
from beampermit.errors import Outside
from beampermit.files import write_text


def complete(root: Path) -> None:
    """Add `hash = "sha256:..."` to each local file of the lock at `root` that has none; change nothing else.

    Raises `Outside` where such a file is not on this machine.
    """
    file = root / FILE
    text = file.read_bytes().decode()
    lock = parse(text)
    done = text
    for package in lock.packages:
        for artifact in package.artifacts:
            if not artifact.local or artifact.sha256:
                continue
            path = root / artifact.address
            if not path.is_file():
                raise Outside(
                    f"{package} is locked from a local file that is not on this machine: {artifact.address}", file=FILE
                )
            done = _with_hash(done, artifact.file_name, digest_file(path))
    if done != text:
        write_text(file, done)


def _with_hash(text: str, file_name: str, digest: str) -> str:
    pattern = rf'(\{{ path = "(?:[^"]*/)?{re.escape(file_name)}")([^{{}}]*\}})'
    return re.sub(pattern, rf'\1, hash = "{digest}"\2', text)
