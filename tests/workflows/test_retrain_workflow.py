"""The template's retrain.yml, run by act, accepts data and results alone from the job that runs the project's code.

That it trains again and opens a pull request, and what the gates make of it, is played in
`tests/unit/monitoring/test_night.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from beampermit.project import Project
from beampermit.rehearsal import act_log
from support.conda_channel import Channel, laboratory, serving
from support.dvc_repositories import replace
from support.git_repositories import add_origin
from support.github_stand_in import GitHub
from support.paths import ROOT
from support.rehearsals import dispatch, lend_checker
from support.toy_project import HERE, on_conda, trainable, trained_once

__all__ = ["trainable", "trained_once"]
WORKFLOW = ".github/workflows/retrain.yml"
TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"
BRANCH = "beampermit/retrain"
FETCH = """\
from pathlib import Path

Path("data/raw.parquet").write_bytes(Path("{machine}").read_bytes())
"""
"""What the machine does is written into a file beside the project: it is one more request, and other data."""
ATTACK = """
import subprocess

with open("train.py", "a") as file:
    file.write("# anything\\n")
subprocess.run(["git", "commit", "--quiet", "--all", "--message", "Not mine"], check=True)
"""
"""The project's code puts a commit of its own below that of the retraining."""


@dataclass
class Laboratory:
    """A project on a conda channel whose data come from a machine, and GitHub."""

    project: Project
    machine: Path
    """What it measures now."""
    github: GitHub
    work: Path

    def retrain(self, name: str) -> list[act_log.Line]:
        """Run the workflow on main, as the monitor dispatches it; what act wrote."""
        inputs = {"reason": "bpm-faults MON001 turns.std", "alarm": "3f2a"}
        return dispatch(self.project, self.github, self.work / name, WORKFLOW, inputs)


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    with serving(laboratory(tmp_path / "lab")) as channel:
        yield channel


@pytest.fixture
def lab(
    trainable: Project,
    channel: Channel,
    github: GitHub,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Laboratory:
    lend_checker(tmp_path_factory, monkeypatch)
    root, machine = trainable.root, tmp_path / "machine"
    machine.write_text("-1.0 2.0 3.0\n")
    (root / "fetch.py").write_text(FETCH.format(machine=machine))
    replace(
        root / "dvc.yaml",
        "stages:\n",
        "stages:\n  fetch: {cmd: python fetch.py, deps: [fetch.py], outs: [data/raw.parquet]}\n",
    )
    replace(root / "dvc.yaml", "deps: [dataset.py]", "deps: [dataset.py, data/raw.parquet]")
    replace(root / "dataset.py", '.write_text("1\\n2\\n3\\n")', '.write_text(Path("data/raw.parquet").read_text())')
    replace(root / "train.py", "curve = []\n", "weight, curve = rows[0], []\n")
    for script in ("fetch.py", "dataset.py"):
        assert HERE.run([script], project=root).code == 0
    (root / WORKFLOW).parent.mkdir(parents=True)
    (root / WORKFLOW).write_text((TEMPLATE / WORKFLOW).read_text())
    on_conda(trainable, channel)
    add_origin(root)
    return Laboratory(Project(root), machine, github, tmp_path / "work")


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_code_of_the_project_that_changes_more_than_data_and_results_proposes_nothing(lab: Laboratory) -> None:
    git, root = lab.project.git, lab.project.root
    with (root / "fetch.py").open("a") as file:
        file.write(ATTACK)
    git("commit", "--quiet", "--all", "--message", "Fetching that does more")
    git("push", "--quiet", "origin", "main")
    lab.machine.write_text("-1.2 2.0 3.0\n")
    lines = lab.retrain("attacked")
    words = "\n".join(line.text for line in lines)
    assert [line.job_result for line in lines if line.job_result] == ["success", "failure"], words
    assert "this is no bundle of a retraining" in words, words
    assert lab.github.pulls == {}
    assert git("ls-remote", "origin", f"refs/heads/{BRANCH}") == ""
