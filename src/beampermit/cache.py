"""The user's cache folder: packages, channel indexes, environments, reproductions. It may be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "BEAMPERMIT_CACHE"


def cache_folder() -> Path:
    """`BEAMPERMIT_CACHE`, else the operating system's folder for caches."""
    from platformdirs import user_cache_path

    folder = os.environ.get(VARIABLE)
    return Path(folder).absolute() if folder else user_cache_path("beampermit", appauthor=False)
