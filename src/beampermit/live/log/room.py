"""The log of a model takes no more of the disk than it may: its oldest files go first."""

from __future__ import annotations

from pathlib import Path

from beampermit.live.log.stream import CLOSED, OPEN


def make_room(folder: Path, limit: int) -> tuple[str, ...]:
    """Remove the oldest closed files in `folder` and below until the log takes at most `limit` bytes; their names."""
    sizes = {path: _size(path) for path in folder.rglob("*") if path.suffix in (OPEN, CLOSED)}
    total, removed = sum(sizes.values()), []
    for path in sorted((path for path in sizes if path.suffix == CLOSED), key=lambda path: path.name):
        if total <= limit:
            break
        path.unlink(missing_ok=True)
        total -= sizes[path]
        removed.append(path.name)
    return tuple(removed)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
