"""Where things lie that tests look for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
LHC = ROOT.parent / "shared/data/lhc/lhc_b1_turns.parquet"
"""Real acquisitions, four of them; tests that want them say so where they are not."""
LCLS = ROOT.parent / "shared/data/lcls/epics_snapshot_2018-03-06T15-21-15.000000-08-00.json"
"""A real machine's PVs at one moment, name -> value: 2,068 numbers, integers and arrays."""
CSX = ROOT.parent / "shared/data/nsls2/csx_anomaly_features.csv"
"""A real table as a stranger has it: text for group and target, an index without a name, no units, no time."""


def module_at(script: Path) -> ModuleType:
    """A script that is no part of the package, as a module."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
