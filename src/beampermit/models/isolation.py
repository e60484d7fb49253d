"""What a process that runs a project's code is given: the same variables each time, no secrets, a folder."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIMEOUT = 1800.0
"""Seconds that one question may take."""
CLEAN = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_TRACKING_URI": "",
    # Two threads on a loaded machine of two cores were twenty to sixty times slower than one, and not repeatable.
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
SECRET = re.compile(r"_KEY$|TOKEN|SECRET|PASSWORD|CREDENTIAL|^(AWS|AZURE|ACTIONS)_", re.IGNORECASE)


def clean_variables() -> dict[str, str]:
    """Variables that keep a run repeatable, and empty values for those that look like secrets.

    This spares honest code from leaking them; it is no barrier, so no job that holds secrets runs unreviewed code.
    """
    return {name: "" for name in os.environ if SECRET.search(name) or _is_git_login(name)} | CLEAN


def _is_git_login(name: str) -> bool:
    """Whether a variable is what git sends along to a remote, as our actions tell it; an empty one sends nothing."""
    key = os.environ.get(name.replace("_VALUE_", "_KEY_"), "")
    return name.startswith("GIT_CONFIG_VALUE_") and key.lower().endswith(".extraheader")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, its links resolved."""
    with tempfile.TemporaryDirectory(prefix="beampermit-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()
