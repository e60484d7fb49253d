"""Modules that the Pythons of the tests have compiled, kept for all tests of a run.

With a cache folder of its own, each test would compile the standard library and numpy again. Python compares each with
its source, as always.
"""

from __future__ import annotations

from pathlib import Path

from beampermit.cache import cache_folder
from beampermit.environments.bytecode import bytecode_folder


def keep_bytecode(beside: Path, cache: Path | None = None) -> None:
    """Have what is compiled for our cache folder, or for `cache`, lie in `bytecode` beside a test's own folder."""
    kept, place = beside.with_name("bytecode"), (cache or cache_folder()) / bytecode_folder().name
    kept.mkdir(exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.symlink_to(kept)
