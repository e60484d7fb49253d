"""A sound project passes every interlock on data."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.runner import check
from beampermit.project import Project

Alter = Callable[..., None]


@pytest.mark.slow
def test_a_sound_project_passes_every_interlock_on_data(dvc_project: Project) -> None:
    verdicts = check(dvc_project, select_interlocks(["DAT"]))
    assert {verdict.id: verdict.reason for verdict in verdicts if not verdict.passed} == {}
    assert dvc_project.git("status", "--porcelain") == "", "looking changes nothing"
