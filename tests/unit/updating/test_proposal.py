"""A job proposes what merges; what does not stays for a person, and so does the record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.errors import Outside
from beampermit.git import Git
from beampermit.github.client import Client
from beampermit.updating import proposing
from beampermit.updating.proposing import BRANCH, propose
from beampermit.updating.recorded import ANSWERS, RENDERED
from beampermit.updating.update import update
from support.git_repositories import add_origin
from support.github_stand_in import GitHub, environment
from support.template_versions import ADDED, EDITED, FIRST, change

Install = Callable[[str], Path]


@pytest.fixture
def client(github: GitHub) -> Client:
    return Client(github.repository, "s3cret", github.url)


@pytest.fixture(autouse=True)
def origin(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_REF_NAME", raising=False)
    change(git.root, "Makefile", "List the targets", "List my targets")
    git("commit", "--quiet", "--all", "--message", "Mine")
    add_origin(git.root)
    git("remote", "set-head", "origin", "main")


def quiet(_: str) -> None:
    pass


def proposed(git: Git) -> dict[str, str]:
    """File -> how the proposed commit changes it."""
    git("fetch", "--quiet", "origin", BRANCH)
    lines = git("diff", "--name-status", "--no-renames", "HEAD", "FETCH_HEAD").splitlines()
    return {name: kind for kind, name in (line.split("\t") for line in lines)}


@pytest.mark.slow
def test_what_merges_is_one_pull_request_and_the_work_tree_stays(
    git: Git, install: Install, client: Client, github: GitHub
) -> None:
    install(ADDED)
    head = git.head()
    done = propose(git.root, client, quiet)
    assert (done.address, done.conflicts) == ("https://git.example/lab/faults/pull/1", ())
    asked = github.pulls[1]
    assert (asked["head"]["ref"], asked["base"]["ref"], asked["title"]) == (
        BRANCH,
        "main",
        "Update the template to 9.0.1",
    )
    assert "- A page of its own." in asked["body"]
    assert "`control_room`: `main`" in asked["body"]
    assert "- added `docs/new-page.md`" in asked["body"]
    changed = proposed(git)
    assert changed["docs/new-page.md"] == "A"
    assert {ANSWERS, RENDERED} <= changed.keys()
    assert git("rev-parse", "FETCH_HEAD^") == head == git.head()
    assert git("status", "--porcelain") == ""
    git("merge", "--quiet", "FETCH_HEAD")
    assert propose(git.root, client, quiet).address is None


@pytest.mark.slow
def test_files_in_conflict_and_the_record_wait_for_a_person(
    git: Git, install: Install, client: Client, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(github, GITHUB_TOKEN="s3cret").items():
        monkeypatch.setenv(name, value)
    words = ["update", "--propose", "--project", str(git.root)]
    install(EDITED)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    said = "1 file in conflict not in it: in a clone, beampermit update\n  conflict Makefile\n"
    assert done.stdout.partition("\n")[2] == said
    body = github.pulls[1]["body"]
    assert body.index("Not in it") < body.index("- `Makefile`") < body.index("What changed")
    changed = proposed(git)
    assert not {"Makefile", ANSWERS, RENDERED} & changed.keys()
    assert (changed["docs/inside.md"], changed[".containerignore"]) == ("A", "D")
    git("merge", "--quiet", "FETCH_HEAD")
    left = CliRunner().invoke(app, words)
    said = "nothing to propose, but 1 file in conflict: in a clone, beampermit update\n  conflict Makefile\n"
    assert (left.exit_code, left.stdout) == (3, said)
    assert len(github.pulls) == 1
    rest = update(git)
    assert rest.staged
    assert rest.staged.conflicts == ("Makefile",)
    assert {change.path for change in rest.staged.changes} == {"Makefile", ANSWERS, RENDERED}


@pytest.mark.slow
def test_nothing_newer_is_no_pull_request(git: Git, install: Install, client: Client, github: GitHub) -> None:
    install(FIRST)
    assert propose(git.root, client, quiet).address is None
    assert github.pulls == {}


@pytest.mark.slow
def test_a_token_that_may_change_no_workflow_is_told_its_rights(
    git: Git, install: Install, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Outside(
            "cannot push the branch: refusing to allow a GitHub App to create or update workflow "
            "`.github/workflows/release.yml` without `workflows` permission"
        )

    install(ADDED)
    monkeypatch.setattr(proposing, "push_branch", refuse)
    with pytest.raises(Outside) as refused:
        propose(git.root, client, quiet)
    assert "BEAMPERMIT_PROPOSE_TOKEN" in refused.value.hint
