"""The stand-in for GitHub responds as GitHub would if the ruleset in git were applied."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beampermit.git import Git as Repository
from beampermit.github.client import Client, Refused
from beampermit.github.protection import load_ledger_gaps, load_protection
from beampermit.github.releases import Release, publish
from beampermit.github.rulesets import LEDGER, MAIN
from beampermit.project import Project
from beampermit.rehearsal.github_stand_in import read_rulesets, serve_github
from support.paths import ROOT

TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}" / MAIN
Git = Callable[..., str]


@pytest.fixture
def body() -> dict[str, Any]:
    return json.loads(TEMPLATE.read_text())


def commit(project: Project, git: Git, text: str) -> Repository:
    (project.root / MAIN).parent.mkdir(parents=True, exist_ok=True)
    (project.root / MAIN).write_text(text)
    git("add", "--all")
    git("commit", "--quiet", "--message", "The ruleset")
    return project.git


@pytest.mark.slow
def test_ruleset_of_the_commit_protects(project: Project, git: Git, body: dict[str, Any]) -> None:
    repository = commit(project, git, json.dumps(body))
    (project.root / MAIN).unlink()
    with serve_github(read_rulesets(repository, "HEAD"), "main") as api:
        found = load_protection(Client("lab/faults", "", api), "main")
        assert (found.gaps, found.check_gaps("ml / permit"), found.bypass) == ((), (), ())
        assert len(load_protection(Client("lab/faults", "", api), "topic").gaps) == 3


def test_the_ledgers_ruleset_protects_its_branch(project: Project, git: Git, body: dict[str, Any]) -> None:
    (project.root / LEDGER).parent.mkdir(parents=True, exist_ok=True)
    (project.root / LEDGER).write_text((TEMPLATE.parent / "ledger.json").read_text())
    repository = commit(project, git, json.dumps(body))
    with serve_github(read_rulesets(repository, "HEAD"), "main") as api:
        client = Client("lab/faults", "", api)
        assert (load_protection(client, "main").gaps, load_ledger_gaps(client)) == ((), ())


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        ({"enforcement": "evaluate"}, "changes can be pushed to it without a pull request"),
        ({"rules": [{"type": "deletion"}]}, "its history can be rewritten with a force-push"),
        ({"bypass_actors": [{"actor_type": "Team", "actor_id": 7}]}, "Team 7 may bypass its rules"),
        ({"name": ""}, "it can be deleted"),
    ],
)
def test_gap_of_a_weak_ruleset_is_reported(
    project: Project, git: Git, body: dict[str, Any], change: dict[str, Any], gap: str
) -> None:
    repository = commit(project, git, json.dumps({**body, **change}))
    with serve_github(read_rulesets(repository, "HEAD"), "main") as api:
        assert gap in load_protection(Client("lab/faults", "", api), "main").gaps


def test_no_ruleset_protects_nothing(project: Project) -> None:
    assert read_rulesets(project.git, "HEAD") == []
    with serve_github([], "main") as api:
        assert len(load_protection(Client("lab/faults", "", api), "main").gaps) == 3


def test_other_paths_are_not_found(project: Project) -> None:
    with serve_github([], "main") as api, pytest.raises(Refused, match="with 404 Not Found"):
        Client("lab/faults", "", api).get("/pulls")


@pytest.mark.slow
def test_releases_are_written_to_one_folder_only(tmp_path: Path) -> None:
    document = tmp_path / "RUNBOOK.md"
    document.write_text("call the expert")
    with serve_github([], "main", tmp_path / "releases") as api:
        client = Client("lab/faults", "", api)
        release = Release("faults-v1", "c" * 40, "faults version 1", "why", {document.name: document})
        done = publish(client, release)
        assert (done.new, done.address) == (True, str(tmp_path / "releases/faults-v1"))
        assert not publish(client, release).new
        with pytest.raises(Refused, match="422"):
            publish(client, replace(release, tag="../faults"))
        with pytest.raises(Refused, match="422"):
            client.upload(f"{api}/repos/lab/faults/releases/1/assets", b"", name="../x")
    assert (tmp_path / "releases/faults-v1/RUNBOOK.md").read_text() == "call the expert"
    assert (tmp_path / "releases/faults-v1/.release.md").read_text() == "why"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        ".release.md",
        "RUNBOOK.md",
        "RUNBOOK.md",
    ]
