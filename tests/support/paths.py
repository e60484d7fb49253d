"""Where things lie that tests look for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
LHC = ROOT.parent / "shared/data/lhc/lhc_b1_turns.parquet"
"""Real acquisitions, four of them; tests that want them say so where they are not."""


def module_at(script: Path) -> ModuleType:
    """A script that is no part of the package, as a module."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
