"""A plugin that TST lends to a project's pytest: it sorts tests marked `gpu` from the others, and measures them.

It runs in the PROJECT's environment, as a copy, and imports nothing of Beampermit. Options would not do: a second `-m`
replaces the one that a project has in its settings.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

PEAK = os.environ.get("BEAMPERMIT_GPU_PEAK")
"""File for the peak memory of the GPUs, in bytes; set where tests marked `gpu` are the ones that run."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the one kind of tests; `trylast`, since marks may be given by a conftest."""
    kept = [item for item in items if (item.get_closest_marker("gpu") is not None) == bool(PEAK)]
    left = [item for item in items if item not in kept]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def pytest_sessionfinish() -> None:
    """Write the largest amount of memory that this process had on a GPU at once."""
    torch = sys.modules.get("torch")
    if PEAK and torch:
        peaks = [torch.cuda.max_memory_allocated(place) for place in range(torch.cuda.device_count())]
        Path(PEAK).write_text(json.dumps(max(peaks, default=0)), encoding="utf-8")
