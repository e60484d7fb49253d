"""Stages are compared with their lock, with their data on this machine and without."""

from __future__ import annotations

import pytest

from beampermit.datasets.repository import Repository
from beampermit.datasets.stale_stages import stage_changes
from beampermit.interlocks.data import DAT001
from beampermit.project import Project
from support.dvc_repositories import remake, replace, without_data

pytestmark = pytest.mark.slow

TRAIN = """\
  train:
    cmd: python make.py train
    deps: [data/dataset/train.parquet]
    outs: [model.txt]
"""


def with_train(project: Project) -> None:
    with (project.root / "dvc.yaml").open("a") as stream:
        stream.write(TRAIN)
    (project.root / "model.txt").write_text("weights")
    remake(project.root)


def test_a_file_of_a_missing_folder_is_compared_by_its_manifest(dvc_project: Project) -> None:
    with_train(dvc_project)
    assert stage_changes(Repository.of(dvc_project)) == []
    without_data(dvc_project)
    assert stage_changes(Repository.of(dvc_project)) == []


def test_a_stage_that_ran_on_another_file_of_the_folder_is_named(dvc_project: Project) -> None:
    with_train(dvc_project)
    without_data(dvc_project)
    lock = dvc_project.root / "dvc.lock"
    before, after = lock.read_text().split("  train:")
    value = next(line.split()[-1] for line in after.splitlines() if line.strip().startswith("md5:"))
    lock.write_text(before + "  train:" + after.replace(value, "f" * 32))
    (change,) = stage_changes(Repository.of(dvc_project))
    assert (change.stage, change.what) == (
        "train",
        "it ran on another version of data/dataset/train.parquet than data/dataset has now",
    )


def test_a_frozen_stage_is_compared_like_any_other(dvc_project: Project) -> None:
    file = dvc_project.root / "dvc.yaml"
    file.write_text(
        file.read_text().replace("    cmd: python make.py raw", "    frozen: true\n    cmd: python make.py raw")
    )
    (dvc_project.root / "make.py").write_text("print('other')\n")
    assert [change.stage for change in stage_changes(Repository.of(dvc_project))] == ["raw", "dataset"]


def test_data_added_without_a_pipeline_are_compared_too(dvc_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.repo import Repo

    monkeypatch.chdir(dvc_project.root)
    file = dvc_project.root / "reference.csv"
    file.write_text("1,2\n")
    with Repo(str(dvc_project.root)) as repository:
        repository.add(str(file))
    assert stage_changes(Repository.of(dvc_project)) == []
    file.unlink()
    file.write_text("1,3\n")
    (change,) = stage_changes(Repository.of(dvc_project))
    assert (change.stage, change.what) == (
        "reference.csv.dvc",
        "reference.csv has another hash than in reference.csv.dvc",
    )
    finding = DAT001().check(Repository.of(dvc_project))
    assert finding.fix.startswith("Run `dvc add reference.csv`, then `dvc push`, and commit `reference.csv.dvc`")
    with Repo(str(dvc_project.root)) as repository:
        repository.reproduce()
        assert stage_changes(Repository.of(dvc_project)) == [change], "`dvc repro` passes it over"
        repository.add(str(file))
    assert stage_changes(Repository.of(dvc_project)) == []


def test_parameters_of_a_file_that_dvc_yaml_names_by_a_dot_are_compared(dvc_project: Project) -> None:
    """DVC does not find its own entry again, and says for ever that they are new."""
    replace(dvc_project.root / "dvc.yaml", "params: [rows]", "params: [./params.yaml: [rows]]")
    remake(dvc_project.root)
    assert stage_changes(Repository.of(dvc_project)) == []
    replace(dvc_project.root / "params.yaml", "8", "9")
    (change,) = stage_changes(Repository.of(dvc_project))
    assert change.what == "params.yaml: rows is 9, it ran with 8"


def test_what_was_never_downloaded_is_fetched_by_the_command_that_is_named(
    dvc_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dvc repro` passes a frozen stage over."""
    from dvc.repo import Repo

    monkeypatch.chdir(dvc_project.root)
    with Repo(".") as repository:
        repository.imp_url("make.py", out="copy.py", no_download=True)
        (change,) = stage_changes(Repository.of(dvc_project))
        assert change.what == "copy.py has no hash, for it was never downloaded: run `dvc update copy.py.dvc`"
        finding = DAT001().check(Repository.of(dvc_project))
        assert finding.fix.startswith("Run `dvc update copy.py.dvc`"), "not that of the interlock, `dvc repro`"
        replace(dvc_project.root / "params.yaml", "8", "9")
        of_two = DAT001().check(Repository.of(dvc_project)).fix
        assert of_two.startswith(DAT001.fix())
        assert finding.fix in of_two, "one needs `dvc repro` and the other does not heed it"
        replace(dvc_project.root / "params.yaml", "9", "8")
        repository.update(["copy.py.dvc"])
    assert stage_changes(Repository.of(dvc_project)) == []
    (dvc_project.root / "copy.py").chmod(0o644)
    (dvc_project.root / "copy.py").write_text("edited\n")
    undo = "here, delete `copy.py` and run `beampermit data pull`."
    assert DAT001().check(Repository.of(dvc_project)).fix.endswith(undo)
