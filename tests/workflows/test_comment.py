"""The template's comment workflow, run by act: what a run left becomes a comment, and nothing is checked out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.documents.report import Report
from beampermit.git import Git
from beampermit.github.sticky import Mark, parse_mark
from beampermit.project import Project
from beampermit.rehearsal import act_log
from beampermit.verdicts.merge import MergedVerdicts
from support.github_stand_in import GitHub, Token
from support.paths import ROOT
from support.rehearsals import lend_checker, run_workflow
from support.zip_archives import archive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WORKFLOW = ".github/workflows/comment.yml"
TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"
HEAD = "a" * 40
Comment = Callable[[dict[str, Any]], list[act_log.Line]]


@pytest.fixture
def comment(
    project: Project,
    github: GitHub,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Comment:
    """Run the workflow for a run that ended; what act wrote."""
    (project.root / WORKFLOW).parent.mkdir(parents=True)
    (project.root / WORKFLOW).write_text((TEMPLATE / WORKFLOW).read_text())
    Git(project.root)("remote", "add", "github", f"https://github.com/{github.repository}")
    github.tokens["s3cret"] = Token(rights=frozenset({"actions:read", "pull-requests:write"}))
    lend_checker(tmp_path_factory, monkeypatch)
    return lambda ended: run_workflow(
        project.root,
        tmp_path / "work",
        WORKFLOW,
        "workflow_run",
        {"action": "completed", "workflow_run": ended},
        repository=github.repository,
        api=github.url,
        secrets={"GITHUB_TOKEN": "s3cret"},
    )


def test_a_fork_s_report_becomes_a_comment_in_six_requests(comment: Comment, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults")
    ended = github.run(HEAD, fork="stranger/faults", conclusion="failure")
    report = Report(name="bpm-faults", judged=MergedVerdicts((), {}), commit=HEAD, head=HEAD, tree=HEAD, base=None)
    github.artifact(ended["id"], "report", archive(("report.json", report.json_text().encode())))
    lines = comment(ended)
    words = "\n".join(line.text for line in lines)
    assert [line.job_result for line in lines if line.job_result] == ["success"], words
    assert "s3cret" not in words
    (body,) = [one["body"] for one in github.comments.values()]
    assert "# ❌ bpm-faults: " in body
    assert parse_mark(body) == Mark(ended["id"], 1, HEAD)
    assert [one.method for one in github.asked] == ["GET", "GET", "GET", "GET", "POST", "GET"]


def test_a_run_of_the_merge_queue_is_passed_over(comment: Comment, github: GitHub) -> None:
    lines = comment(github.run(HEAD, event="merge_group"))
    assert [line.job_result for line in lines if line.job_result] == []
    assert github.asked == []
