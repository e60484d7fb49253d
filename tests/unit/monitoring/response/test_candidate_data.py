"""Candidates are added to the project's DVC and pushed, once each."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.digest import manifest
from beampermit.errors import Failed
from beampermit.files import write_json
from beampermit.monitoring.response.candidate_data import add_candidates
from beampermit.monitoring.response.candidates import Candidate
from beampermit.project import Project
from support.responses import trip


def candidate(state: Path, name: str) -> Path:
    folder = state / "candidates" / name
    (folder / "3").mkdir(parents=True)
    (folder / "3/2027-01-15T083000.000000Z.parquet").write_bytes(name.encode())
    first = trip()
    about = Candidate(model="bpm-faults", window=first.window, rows=1, trips=(first,), files=manifest(folder))
    write_json(folder / "candidate.json", about.model_dump(mode="json"))
    return folder


@pytest.mark.slow
def test_they_are_in_dvc_and_on_the_remote_once(dvc_project: Project, storage: Path, tmp_path: Path) -> None:
    before = len([*storage.rglob("*")])
    candidate(tmp_path / "state", "2027-01-15T090002Z-v3")
    assert add_candidates(dvc_project, tmp_path / "state") == ("candidates/2027-01-15T090002Z-v3",)
    assert (dvc_project.root / "candidates/2027-01-15T090002Z-v3.dvc").is_file()
    assert len([*storage.rglob("*")]) > before
    assert add_candidates(dvc_project, tmp_path / "state") == ()


def test_tables_that_were_changed_are_refused(dvc_project: Project, tmp_path: Path) -> None:
    folder = candidate(tmp_path / "state", "2027-01-15T090002Z-v3")
    next(folder.rglob("*.parquet")).write_bytes(b"other")
    with pytest.raises(Failed, match="its tables are not those that were stored"):
        add_candidates(dvc_project, tmp_path / "state")
    assert not (dvc_project.root / "candidates").exists()
