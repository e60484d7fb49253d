"""Lets DVC keep a file of a new project, as it keeps those that a pipeline makes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from beampermit.errors import Outside


def track(project: Path, name: str) -> None:
    """Git gets the hash of the file `name` of the project, and DVC the file, as `dvc add` does. Raises `Outside`."""
    os.environ.setdefault("DVC_NO_ANALYTICS", "true")
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.add import add

    for logger in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    try:
        with Repo(str(project)) as repo:
            add(repo, str(project / name))
    except DvcException as error:
        raise Outside(f"dvc add {name}: {error}") from None
