"""Units for tests of SLURM: squares, which wait for a file where they are asked to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from beampermit.compute import slurm as ours
from beampermit.compute.collect import perform_all
from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Ended, Unit

COMMAND = """\
import json, os, time
from pathlib import Path

request = json.loads(Path("request.json").read_text())
with open("starts", "a") as file:
    print(os.environ.get("SLURM_JOB_ID"), file=file)
while request.get("until") and not Path(request["until"]).exists():
    time.sleep(0.05)
if request.get("fails"):
    raise SystemExit("no beam")
starts = Path("starts").read_text().splitlines()
result = {"square": request["x"] ** 2, "variables": dict(os.environ), "starts": len(starts)}
Path("result.part").write_text(json.dumps(result))
os.rename("result.part", "result.json")
"""


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller is asked often."""
    for name, value in (("ASK", 0.3), ("ASK_SELDOM", 0.6), ("OVER", 0.5)):
        monkeypatch.setattr(ours, name, value)
    monkeypatch.setattr(ours.Slurm, "late", 0.5)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/src").mkdir(parents=True)
    (tmp_path / "tree/src/command.py").write_text(COMMAND)
    return tmp_path / "tree"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many elements each array had that was submitted."""
    from beampermit.compute import slurm_job

    lengths: list[int] = []
    real = slurm_job.submit

    def submit(room: Path, tasks: Sequence[Path], *arguments: Any, **named: Any) -> str:
        lengths.append(len(tasks))
        return real(room, tasks, *arguments, **named)

    monkeypatch.setattr(slurm_job, "submit", submit)
    return lengths


def units(tree: Path, count: int, **request: Any) -> list[Unit]:
    return [Unit(f"unit {x}", "command", {"x": x, **request}, tree=tree, tree_digest="1") for x in range(count)]


def performed(work: Path, wanted: list[Unit], said: list[str] | None = None, **resources: Any) -> dict[str, Ended]:
    def progress(step: str, done: int = 0, total: int = 0, /) -> None:
        if said is not None:
            said.append(step)

    with open_executor("slurm", Resources(**resources), work) as executor:
        ended = {one.unit.label: one for one in perform_all(iter(wanted), executor, work, progress)}
    assert len(ended) == len(wanted)
    return ended
