"""Imports single modules of conda-lock: its models, its parser of environment files, its content hash."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from types import ModuleType
from typing import Any

BARE = ("conda_lock", "conda_lock.src_parser")
"""Packages whose `__init__` imports a whole command: poetry, dulwich, virtualenv."""


def conda_lock_module(name: str) -> Any:
    """conda-lock's module `name`, such as `content_hash`: in a third of the time that `import conda_lock` takes."""
    for package in BARE:
        if package not in sys.modules:
            sys.modules[package] = _bare(package)
    # It warns about each line that a platform selector leaves out.
    logging.getLogger("conda_lock").setLevel(logging.ERROR)
    return importlib.import_module(f"conda_lock.{name}")


def _bare(name: str) -> ModuleType:
    """The package, with its `__init__` not run."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(name)
    return importlib.util.module_from_spec(spec)
