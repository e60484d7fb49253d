"""What a process that runs a project's code gets: the same variables each time, no secrets, a scratch folder."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIMEOUT = 1800.0
"""Seconds."""
CLEAN = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_TRACKING_URI": "",
    # On two loaded cores two threads were 20 to 60 times slower than one, and not repeatable.
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
SECRET = re.compile(r"_KEY$|TOKEN|SECRET|PASSWORD|CREDENTIAL|^(AWS|AZURE|ACTIONS)_", re.IGNORECASE)


def clean_variables() -> dict[str, str]:
    """Variables that keep a run repeatable, and empty values for those that look like secrets.

    Honest code then cannot leak them by accident. Hostile code could still read them from the parent process, so no
    job with secrets runs unreviewed code.
    """
    return {name: "" for name in os.environ if SECRET.search(name) or _is_git_login(name)} | CLEAN


def _is_git_login(name: str) -> bool:
    """Whether a variable holds a header that git sends to a remote; our actions log in so. An empty one is not sent."""
    key = os.environ.get(name.replace("_VALUE_", "_KEY_"), "")
    return name.startswith("GIT_CONFIG_VALUE_") and key.lower().endswith(".extraheader")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, without symbolic links in its path."""
    with tempfile.TemporaryDirectory(prefix="beampermit-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()
