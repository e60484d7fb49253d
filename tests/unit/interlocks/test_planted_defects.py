"""Every interlock has a test with a planted defect, in which it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.interlocks.families import load_interlocks, select_interlocks
from beampermit.interlocks.runner import check
from beampermit.project import Project
from support.paths import ROOT
from support.planted_defects import failing, without_defect

SOURCES = [file.read_text() for file in sorted((ROOT / "tests").rglob("test_*.py")) if file != Path(__file__)]


@pytest.mark.slow
def test_every_interlock_has_a_planted_defect() -> None:
    assert without_defect(load_interlocks(), SOURCES) == []


@pytest.mark.slow
def test_an_interlock_without_a_planted_defect_is_listed() -> None:
    for id in load_interlocks():
        assert without_defect(load_interlocks(), [source.replace(f'"{id}"', '"another"') for source in SOURCES]) == [id]


def test_a_mark_alone_is_not_enough(project: Project) -> None:
    with pytest.raises(AssertionError, match="DOC001 did not fail in this test"), failing("DOC001"):
        check(project, select_interlocks(["DOC001"]))
    text = project.path("contract.yaml").read_text()
    project.path("contract.yaml").write_text(text.replace("bo@lab.example", "ada@lab.example"))
    with failing("DOC001"):
        check(Project(project.root), select_interlocks(["DOC001"]))
