"""What stands in for GitHub in a rehearsal answers as GitHub would, had the ruleset in git been applied."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.git import Git as Repository
from beampermit.github.client import Client, Refused
from beampermit.github.protection import look
from beampermit.github.rulesets import MAIN
from beampermit.project import Project
from beampermit.rehearsal.rules import ruleset_of, standing_in
from places import ROOT

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


def test_the_ruleset_of_the_commit_is_what_protects(project: Project, git: Git, body: dict[str, Any]) -> None:
    repository = commit(project, git, json.dumps(body))
    (project.root / MAIN).unlink()
    with standing_in(ruleset_of(repository, "HEAD"), "main") as api:
        found = look(Client("lab/faults", "", api), "main")
        assert (found.gaps, found.check_gaps("ml / permit"), found.bypass) == ((), (), ())
        assert len(look(Client("lab/faults", "", api), "topic").gaps) == 3


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        ({"enforcement": "evaluate"}, "changes reach it without a pull request"),
        ({"rules": [{"type": "deletion"}]}, "its history can be rewritten by a force-push"),
        ({"bypass_actors": [{"actor_type": "Team", "actor_id": 7}]}, "Team 7 may bypass its rules"),
        ({"name": ""}, "it can be deleted"),
    ],
)
def test_a_weak_ruleset_is_seen(
    project: Project, git: Git, body: dict[str, Any], change: dict[str, Any], gap: str
) -> None:
    repository = commit(project, git, json.dumps({**body, **change}))
    with standing_in(ruleset_of(repository, "HEAD"), "main") as api:
        assert gap in look(Client("lab/faults", "", api), "main").gaps


def test_no_ruleset_protects_nothing(project: Project) -> None:
    assert ruleset_of(project.git, "HEAD") is None
    with standing_in(None, "main") as api:
        assert len(look(Client("lab/faults", "", api), "main").gaps) == 3


def test_it_knows_nothing_else(project: Project) -> None:
    with standing_in(None, "main") as api, pytest.raises(Refused, match="with 404 Not Found"):
        Client("lab/faults", "", api).get("/pulls")
