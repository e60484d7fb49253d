"""Which objects a folder of DVC's holds: asked one by one, or by listing, whichever is less work."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable

FEW = 8
"""Objects of one folder that are asked for one by one, whatever else is in it."""
WORTH = 4
"""Names that are listed in the time in which one file is asked for."""


def absent(store: str, oids: Iterable[str]) -> set[str]:
    """Those of `oids` that are not at `<store>/<first two digits>/<the rest>`.

    Raises `OSError` for whatever is not a plain answer: what cannot be looked at is not missing. Hashes are spread
    evenly, so one listed folder tells how much there is in the others.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for oid in oids:
        wanted[oid[:2]].add(oid[2:])
    missing: set[str] = set()
    held: int | None = None
    for folder, names in sorted(wanted.items(), key=lambda item: (-len(item[1]), item[0])):
        path = os.path.join(store, folder)  # noqa: PTH118 - 40,000 times
        if len(names) > FEW and (held is None or held <= WORTH * len(names)):
            there = _files(path)
            held = len(there)
            lost = names - there
        else:
            lost = {name for name in names if not is_file(f"{path}/{name}")}
        missing |= {folder + name for name in lost}
    return missing


def is_file(path: str) -> bool:
    """Whether a plain file, or a link to one, is there. Raises `OSError` where that cannot be seen."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - 40,000 times
    except (FileNotFoundError, NotADirectoryError):
        return False


def _files(path: str) -> set[str]:
    try:
        with os.scandir(path) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
