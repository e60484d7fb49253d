from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from beampermit.project import Project
from support.judged_limits import monitored, monitored_once
from support.planted_models import DEVICE, EVALUATE, PLANE, SHOT, Arena, write_table

__all__ = ["monitored", "monitored_once"]


@pytest.fixture
def arena(project: Project, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Arena:
    faulty = (SHOT + DEVICE) % 2 == 0
    (project.root / "data/dataset").mkdir(parents=True)
    table = {
        "acquisition": SHOT,
        "device": np.char.add("BPM.", DEVICE.astype(str)),
        "plane": np.array(["X", "Y"])[PLANE],
    }
    write_table(project.root / "data/dataset/test.parquet", **table, faulty=faulty)
    (project.root / "evaluate.py").write_text(EVALUATE)
    contract = project.root / "contract.yaml"
    lines = contract.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith("  command:"))
    lines[place] = (
        '  command: [python, evaluate.py, "{inputs}", "{scores}", "{out}"]\n'
        '  weighted: [python, evaluate.py, "{inputs}", "{scores}", "{out}", "{counts}"]\n'
    )
    contract.write_text("".join(lines))
    git("add", "--all")
    git("commit", "--quiet", "--message", "An evaluation")
    return Arena(project, faulty, monkeypatch)
