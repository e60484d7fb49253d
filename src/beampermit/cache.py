"""Where this user keeps what can be made again: packages, channel indexes, environments, trainings."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "BEAMPERMIT_CACHE"


def cache_folder() -> Path:
    """The folder that `BEAMPERMIT_CACHE` names, else the one that the operating system gives for caches."""
    from platformdirs import user_cache_path

    named = os.environ.get(VARIABLE)
    return Path(named).absolute() if named else user_cache_path("beampermit", appauthor=False)
