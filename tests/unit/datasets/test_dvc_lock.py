"""What a project binds is what DVC says it tracks, wherever its pipelines lie."""

from __future__ import annotations

import subprocess

import pytest

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.changes.data import bound_outputs, compare_data
from beampermit.datasets.differences import fetch_file
from beampermit.datasets.repository import Repository
from beampermit.project import Project
from support.dvc_repositories import remake

STAGES = """\
stages:
  here: {cmd: "true", outs: [here.csv]}
  beside: {cmd: "true", wdir: ../other, outs: [beside.csv]}
  each:
    foreach: [1, 2]
    do: {cmd: "true", wdir: runs, outs: ["run${item}.csv"]}
"""
MADE = ("parts/here.csv", "other/beside.csv", "parts/runs/run1.csv", "parts/runs/run2.csv")
FOREIGN = "stages:\n  a: {cmd: x, outs: [{path: a.csv, hash: md5, md5: 0123456789abcdef0123456789abcdef}]}\n"


@pytest.mark.slow
def test_outputs_are_those_that_dvc_tracks_in_every_folder(dvc_project: Project) -> None:
    root = dvc_project.root
    for path in MADE:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{path}\n")
    (root / "parts/dvc.yaml").write_text(STAGES)
    remake(root)
    (root / "vendored/.dvc").mkdir(parents=True)
    for name, text in ((".dvc/config", ""), ("dvc.yaml", FOREIGN), ("dvc.lock", FOREIGN)):
        (root / "vendored" / name).write_text(text)
    for command in (("add", "--all"), ("commit", "--quiet", "--message", "Parts")):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    project = Project(root, base="main")

    both = BaseAndHead(project)
    bound = {path: output.hash for path, output in bound_outputs(both).items() if path not in both.tracked}

    assert bound == {output.path: output.oid for output in Repository(project).outputs}
    assert {*MADE} < bound.keys()
    assert sorted(change.path for change in compare_data(both)) == sorted(MADE)
    assert fetch_file(project, project.git.head(), MADE[1]).read_text() == f"{MADE[1]}\n"
