"""What a process that judges a project gets: the same variables each time, a scratch folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIMEOUT = 1800.0
"""Seconds."""
REPEATABLE = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_TRACKING_URI": "",
    # On two loaded cores two threads were 20 to 60 times slower than one, and not repeatable.
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Variables that keep a run repeatable; `processes.clean_variables` gives those of this machine."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, without symbolic links in its path."""
    with tempfile.TemporaryDirectory(prefix="beampermit-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()
