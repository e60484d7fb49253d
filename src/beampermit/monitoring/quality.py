"""How far predictions are from the truth that arrived later (MON007)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Truth:
    """Rows of truth, in any order; what comes twice counts once, the last one."""

    time: np.ndarray
    """Of what the truth is about, s since 1970."""
    keys: Mapping[str, np.ndarray]
    """Columns of the device table, as text."""
    values: Mapping[str, np.ndarray]
    """Output -> its truth, shape (rows, *shape); NaN where there is none."""
