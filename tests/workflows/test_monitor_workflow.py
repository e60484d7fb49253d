"""The template's monitor.yml, run by act: it passes while the monitor reports, and fails when it is silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.alarm_outlets import responder_of
from beampermit.git import Git
from beampermit.project import Project
from beampermit.rehearsal import act_log, payloads, stage
from support.git_repositories import add_origin
from support.github_stand_in import GitHub, environment
from support.paths import ROOT
from support.rehearsals import lend_checker, run_workflow
from support.responses import HOUR, result, trip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WORKFLOW = ".github/workflows/monitor.yml"
TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"


@pytest.fixture
def looked(
    project: Project,
    git: Callable[..., str],
    github: GitHub,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], list[act_log.Line]]:
    """Run the workflow; what act wrote."""
    lend_checker(tmp_path_factory, monkeypatch)
    (project.root / WORKFLOW).parent.mkdir(parents=True, exist_ok=True)
    (project.root / WORKFLOW).write_text((TEMPLATE / WORKFLOW).read_text())
    git("add", "--all")
    git("commit", "--quiet", "--message", "Workflows")
    add_origin(project.root)

    def run(name: str) -> list[act_log.Line]:
        work = tmp_path / name
        clone = stage.clone_for_push(Git(project.root), work / "clone", None)
        Git(clone.root)("remote", "add", "github", f"https://github.com/{github.repository}")
        payload = payloads.push(github.repository, branch="main", before=None, after=clone.commit)
        return run_workflow(
            clone.root,
            work,
            WORKFLOW,
            "schedule",
            payload,
            repository=github.repository,
            api=github.url,
            secrets={"GITHUB_TOKEN": "s3cret"},
        )

    return run


def test_it_passes_while_the_monitor_reports_and_fails_when_it_is_silent(
    looked: Callable[[str], list[act_log.Line]], project: Project, github: GitHub, tmp_path: Path
) -> None:
    def report(at: float) -> None:
        to = environment(github)
        with responder_of(tmp_path / "state", project=project, contract=project.contract, environment=to) as responder:
            responder.kept.update(reported=0.0)
            responder.take([], result(at, trip().standing))
            responder.work()

    report(time.time() - 3 * HOUR)
    silent = looked("silent")
    words = "\n".join(line.text for line in silent)
    assert [line.job_result for line in silent if line.job_result] == ["failure"], words
    assert "the monitor of bpm-faults judged its last window 3.0 h ago, 2.0 h is the limit" in words
    report(time.time())
    lines = looked("alive")
    words = "\n".join(line.text for line in lines)
    assert [line.job_result for line in lines if line.job_result] == ["success"], words
    assert "the monitor of bpm-faults judged a window 0 min ago: version 3, 1 alarms" in words
    assert "s3cret" not in words
