"""The template's retrain.yml, run by act: it trains on new data and opens a pull request, with data and results alone.

What the gates make of such a pull request, a good one and one that is worse, is played in
`tests/unit/monitoring/test_night.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from beampermit.contract import parse_contract
from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.runner import check
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
GATES = ("DAT001", "DAT002")
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
def test_what_was_trained_again_is_a_pull_request_with_data_and_results(lab: Laboratory) -> None:
    head, git = lab.project.git.head(), lab.project.git
    lab.machine.write_text("-1.2 2.0 3.0\n")
    lines = lab.retrain("sound")
    words = "\n".join(line.text for line in lines)
    assert [line.job_result for line in lines if line.job_result] == ["success", "success"], words
    assert "s3cret" not in words
    opened = lab.github.pulls[1]
    assert (opened["head"]["ref"], opened["base"]["ref"], opened["state"]) == (BRANCH, "main", "open")
    assert "Why: bpm-faults MON001 turns" in opened["body"]
    git("fetch", "--quiet", "origin", BRANCH)
    assert git("rev-parse", "FETCH_HEAD^") == head
    changed = set(git("diff", "--name-only", "HEAD", "FETCH_HEAD").split())
    assert {"contract.yaml", "dvc.lock", "manifest.json"} <= changed
    assert not [name for name in changed if name.endswith(".py")]
    assert parse_contract(git("show", "FETCH_HEAD:contract.yaml")).dataset.request.version == 2
    assert git("ls-remote", "origin", "refs/heads/main").startswith(head)
    # What it is judged by is there: interlocks of data pass on the branch as a job checks it out.
    clone = lab.work / "pull-request"
    git("clone", "--quiet", "--branch", BRANCH, str(lab.project.root.parent / "origin.git"), str(clone))
    shutil.copy(lab.work / "sound/clone/.dvc/config.local", clone / ".dvc")
    pull_request = Project(clone, base=head)
    pull(Repository.of(pull_request))
    assert {one.id: one.reason for one in check(pull_request, select_interlocks(GATES)) if not one.passed} == {}


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
