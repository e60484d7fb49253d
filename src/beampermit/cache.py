"""The user's cache folder: packages, environments and what was recorded of them, reproductions. It may be deleted."""

from __future__ import annotations

import os
from pathlib import Path

from beampermit.errors import BadInput, Outside

VARIABLE = "BEAMPERMIT_CACHE"


def cache_folder() -> Path:
    """The folder that `BEAMPERMIT_CACHE` names, else the operating system's folder for caches; made if absent.

    Raises `BadInput` for a relative path, which would lie somewhere else for each command; `Outside` where no folder
    can be made.
    """
    from platformdirs import user_cache_path

    named = os.environ.get(VARIABLE)
    folder = Path(named).expanduser() if named else user_cache_path("beampermit", appauthor=False)
    if not folder.is_absolute():
        raise BadInput(
            f"{VARIABLE} is {named!r}, and an absolute path is needed", hint=f"export {VARIABLE}=$PWD/{named}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Outside(
            f"no cache folder can be made: {error.strerror}", file=folder, hint=f"export {VARIABLE}=FOLDER"
        ) from None
    return folder
