from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.digest import digest_file
from beampermit.project import Project
from beampermit.reading import read_json
from support.trained_project import status

pytestmark = pytest.mark.slow


def test_a_copy_is_pushed_clean_and_alone(trained_copy: Project, trained_project: Project, tmp_path: Path) -> None:
    assert trained_copy.git("status", "--porcelain") == ""
    assert trained_copy.git.resolve("origin/main") == trained_copy.git.head() == trained_project.git.head()
    assert Path(trained_copy.git("remote", "get-url", "origin")).is_relative_to(tmp_path)
    assert trained_copy.base is None


def test_nothing_of_a_copy_is_stale_or_missing_from_its_remote(trained_copy: Project) -> None:
    assert status(trained_copy) == {}
    assert status(trained_copy, cloud=True) == {}


def test_what_was_asked_for_is_told_beside_the_data(trained_project: Project) -> None:
    said = read_json(trained_project.path("data/raw.json"))
    (turns,) = trained_project.contract.signals.inputs
    assert said["signals"] == {
        "turns": {"pv": "{device}:{plane}:TBT", "unit": "mm", "range": [-20, 20], "shape": [250]}
    }
    assert said["signals"]["turns"] == turns.model_dump(mode="json", include={"pv", "unit", "range", "shape"})
    assert said["sha256"] == digest_file(trained_project.path("data/raw.parquet")).removeprefix("sha256:")
