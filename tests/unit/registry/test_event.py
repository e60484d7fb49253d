"""Each event says who acted and in which workflow run."""

from __future__ import annotations

import pytest

from beampermit.project import Project
from beampermit.registry.event import provenance


def test_a_person_signs_with_the_git_identity(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTOR", raising=False)
    found = provenance(project.git, "drifts")
    assert (found["by"], found["reason"], found["run"]) == ("Ada Operator <ada@lab.example>", "drifts", "")


def test_a_workflow_names_its_actor_and_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ACTOR": "bo",
        "SERVER_URL": "https://github.example",
        "REPOSITORY": "lab/bpm",
        "RUN_ID": "7",
    }.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    found = provenance(project.git, "")
    assert (found["by"], found["run"]) == ("bo", "https://github.example/lab/bpm/actions/runs/7")


def test_a_reason_of_any_length_fits(project: Project) -> None:
    assert len(provenance(project.git, "why " * 1000)["reason"]) == 1000
