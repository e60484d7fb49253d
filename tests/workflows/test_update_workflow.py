"""The template's update.yml, run by act: a project of an older template gets the newer one as a pull request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from beampermit.generation import generate
from beampermit.git import Git
from beampermit.rehearsal import payloads, stage
from beampermit.updating.recorded import ANSWERS, RENDERED
from support.git_repositories import add_origin
from support.github_stand_in import GitHub
from support.rehearsals import lend_checker, run_workflow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WORKFLOW, PAGE = ".github/workflows/update.yml", "docs/how-it-works.md"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project as an older template would have made it: without one of its pages."""
    root = generate(tmp_path, {})
    record, render = (json.loads((root / name).read_text()) for name in (ANSWERS, RENDERED))
    record["beampermit"] |= {"version": "0.0.1", "template": f"sha256:{'0' * 64}"}
    del render["files"][PAGE]
    (root / ANSWERS).write_text(json.dumps(record))
    (root / RENDERED).write_text(json.dumps(render))
    (root / PAGE).unlink()
    git = Git(root)
    git("commit", "--quiet", "--all", "--message", "Of an older template")
    add_origin(root)
    return root


def test_a_newer_template_is_a_branch_and_a_pull_request(
    root: Path,
    github: GitHub,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lend_checker(tmp_path_factory, monkeypatch)
    work, git = tmp_path / "work", Git(root)
    clone = stage.clone_for_push(git, work / "clone", None)
    Git(clone.root)("remote", "add", "github", f"https://github.com/{github.repository}")
    lines = run_workflow(
        clone.root,
        work,
        WORKFLOW,
        "workflow_dispatch",
        payloads.push(github.repository, branch="main", before=None, after=clone.commit),
        repository=github.repository,
        api=github.url,
        secrets={"BEAMPERMIT_PROPOSE_TOKEN": "s3cret"},
    )
    words = "\n".join(line.text for line in lines)
    assert [line.job_result for line in lines if line.job_result] == ["success"], words
    assert "s3cret" not in words
    asked = github.pulls[1]
    assert (asked["head"]["ref"], asked["base"]["ref"]) == ("beampermit/update", "main")
    assert f"- added `{PAGE}`" in asked["body"]
    git("fetch", "--quiet", "origin", "beampermit/update")
    assert git("rev-parse", "FETCH_HEAD^") == git.head()
    assert git("diff", "--name-only", "HEAD", "FETCH_HEAD").splitlines() == [ANSWERS, RENDERED, PAGE]
