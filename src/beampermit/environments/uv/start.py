"""What `uv lock` starts from: it keeps whatever an existing lock says, so that must be worth keeping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beampermit.environments.addresses import misnamed, suspects
from beampermit.environments.uv.lockfile import FILE, parse
from beampermit.errors import BadInput
from beampermit.files import write_bytes, write_text
from beampermit.git import Git


@contextmanager
def start(root: Path) -> Iterator[tuple[str, ...]]:
    """Give the packages (`name==version`) whose entries uv must write anew, for they were edited by hand.

    A lock that cannot be read, such as one with merge-conflict markers, gives way to the last commit's, or to none.
    When the block fails, the file is again what it was.
    """
    file = root / FILE
    before = file.read_bytes() if file.is_file() else None
    try:
        yield _suspects(root, before)
    except BaseException:
        if before is not None:
            write_bytes(file, before)
        raise


def _suspects(root: Path, content: bytes | None) -> tuple[str, ...]:
    if content is None:
        return ()
    for text in (content.decode(errors="replace"), Git(root).read("HEAD", f"./{FILE}")):
        try:
            lock = parse(text or "")
        except BadInput:
            continue
        if misnamed(lock):  # uv refuses to read it.
            continue
        if text and text.encode() != content:
            write_text(root / FILE, text)
        return tuple(f"{package.name}=={package.version}" for package in suspects(lock))
    (root / FILE).unlink()
    return ()
