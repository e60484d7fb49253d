"""The project of `searched_project`, whose splits are tables with runs and times: for folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beampermit.project import Project
from support.dvc_repositories import remake, replace
from support.searched_project import RUNS_TRIALS

TRIAL = """\
import json, os, sys
from pathlib import Path

request = json.loads(Path("request.json").read_text())
held_out = os.stat("data/dataset/validation.parquet").st_size
assert not os.path.exists("data/dataset/test.parquet"), "the test split is here"
if Path("data/fails").exists():
    sys.exit("the beam was lost")
result = {"parameters": request["parameters"], "curve": [[1, 0.5, 0.5]]}
result["metrics"] = {"auc": held_out / 1e5, "false_alarm_rate": 0.01, "other": 1.0}
Path("result.part").write_text(json.dumps(result))
os.replace("result.part", "result.json")
"""
ROWS = 240
VALIDATES = (*RUNS_TRIALS, "beampermit.trials.cross_validation", "pyarrow.parquet", "dvc.repo", "dvc.stage")
"""What takes `beampermit validate` long to import."""
WAITS = """
with open("PLACE/begun", "a") as begun:
    print(Path.cwd().name, file=begun)
try:
    os.mkdir("PLACE/first")
except FileExistsError:
    last = time.monotonic() + 300
    while not os.path.exists("PLACE/go"):
        assert time.monotonic() < last, "nobody says go"
        time.sleep(0.02)
"""


@pytest.fixture
def dated(searched: Project) -> Project:
    """Its splits are tables: runs one after the other, faults in some rows of each."""
    (searched.root / "src/toy/trial.py").write_text(TRIAL)
    replace(
        searched.root / "contract.yaml",
        "split: {by: [acquisition, device], time: acquired_at}",
        "split: {by: [acquisition], time: acquired_at}",
    )
    write_rows(searched, np.arange(ROWS) % 3 == 0)
    return searched


def let_one_fold_end(project: Project, folder: Path) -> Path:
    """Let the first fold that begins end, and the others wait for the file `go` in the folder that is returned; in its
    file `begun`, each start of a unit is a line with the unit's name."""
    place = folder / "place"
    place.mkdir()
    script = TRIAL.replace("import json, os, sys", "import json, os, sys, time")
    (project.root / "src/toy/trial.py").write_text(script + WAITS.replace("PLACE", str(place)))
    return place


def write_rows(project: Project, faulty: np.ndarray) -> None:
    number = np.arange(len(faulty))
    table = pa.table(
        {
            "acquisition": number // 20,
            "device": [f"B{one % 20}" for one in number],
            "plane": ["x"] * len(number),
            "faulty": faulty,
            "turns": [[float(one), 0.0] for one in number],
            "acquired_at": pa.array(number * 1_000_000, pa.timestamp("us", "UTC")),
        }
    )
    folder = project.root / "data/dataset"
    for name, part in {"train": table.slice(0, 160), "validation": table.slice(160)}.items():
        (folder / f"{name}.parquet").unlink()
        pq.write_table(part, folder / f"{name}.parquet")
    remake(project.root)
