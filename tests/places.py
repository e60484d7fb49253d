"""Where things lie that tests look for."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
LHC = ROOT.parent / "shared/data/lhc/lhc_b1_turns.parquet"
"""Real acquisitions, four of them; tests that want them say so where they are not."""
