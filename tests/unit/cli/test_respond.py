"""`beampermit respond` finishes by hand what a monitor began, and `alive` fails where the monitor is silent."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.contract import Contract
from beampermit.documents.alarm_texts import AlarmTexts
from beampermit.monitoring.response.kept import opened
from beampermit.monitoring.response.respond import Outlets, Responder
from beampermit.project import Project
from support.forked_commands import executable
from support.github_stand_in import GitHub, environment
from support.paths import ROOT
from support.responses import HOUR, result, trip

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(project: Project, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the project as on the monitor's machine: exit code and output."""
    for name, value in environment(github).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BEAMPERMIT_WEBHOOK", raising=False)

    def call(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words, "--project", str(project.root)], catch_exceptions=True)
        return getattr(done.exception, "exit_code", done.exit_code), f"{done.output}{done.exception or ''}"

    return call


@pytest.fixture
def state(tmp_path: Path, project: Project) -> Path:
    """A state folder whose monitor died right after it had noted a trip."""
    contract: Contract = project.contract
    with opened(tmp_path / "state") as kept:
        Responder(kept, Outlets(AlarmTexts), contract).take([trip()])
    return tmp_path / "state"


def test_what_a_monitor_noted_is_done_by_hand(run: Run, state: Path, github: GitHub, tmp_path: Path) -> None:
    code, output = run("respond", "--state", str(state), "--logbook", f"file:{tmp_path}/book.md")
    assert (code, len(github.issues)) == (0, 1)
    assert "issue 1001, https://git.example/lab/faults/issues/1001" in output
    assert run("respond", "--state", str(state))[0] == 0
    assert len(github.issues) == 1


def test_a_logbook_may_be_named_where_passwords_are(
    run: Run, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMPERMIT_LOGBOOK", "elog:https://elog.example")
    code, output = run("respond", "--state", str(state))
    assert (code, "there is no logbook 'elog'" in output) == (2, True)
    assert run("respond", "--state", str(state), "--logbook", f"file:{tmp_path}/book.md")[0] == 0, "the option counts"


def test_what_github_refuses_is_said_with_exit_code_1(run: Run, state: Path, github: GitHub) -> None:
    github.tokens.clear()
    code, output = run("respond", "--state", str(state))
    assert code == 1
    assert "GitHub was not told: GitHub answers GET /repos/lab/faults/issues with 401 Bad credentials" in output
    assert "s3cret" not in output


def test_while_a_monitor_runs_it_is_refused(run: Run, state: Path) -> None:
    with opened(state):
        code, output = run("respond", "--state", str(state))
    assert code == 3
    assert "another process responds to the alarms in" in output


def test_alive_passes_while_the_monitor_reports_and_fails_when_it_is_silent(
    run: Run, state: Path, github: GitHub, project: Project
) -> None:
    assert run("alive") == (
        0,
        "no monitor of bpm-faults has ever reported: nothing is watched, and nothing can be silent\n",
    )
    code, output = run("alive", "--required")
    assert (code, "has not reported for 2.0 h or more: issues of lab/faults" in output) == (1, True)
    from beampermit.alarm_outlets import responder_of

    made = result(time.time(), trip().standing).model_copy(update={"model": project.contract.model.name})
    with responder_of(state, project=project, contract=project.contract) as responder:
        responder.take([], made)
        responder.work()
    code, output = run("alive", "--json")
    assert (code, json.loads(output)["alarms"]) == (0, 1)
    issue = next(one for one in github.issues.values() if one["title"].startswith("Monitor of"))
    issue["updated_at"] = "2020-01-01T00:00:00Z"
    assert run("alive")[0] == 1
    github.tokens.clear()
    assert run("alive")[0] == 4


def test_alive_looks_on_the_monitors_machine_without_a_network(run: Run, tmp_path: Path, github: GitHub) -> None:
    assert run("alive", "--state", str(tmp_path))[0] == 1
    (tmp_path / "result.json").write_text(result(time.time()).model_dump_json())
    assert run("alive", "--state", str(tmp_path))[0] == 0
    assert github.count() == 0


@pytest.mark.parametrize("silent_for", [0.0, 3 * HOUR])
def test_the_line_for_cron_says_nothing_until_the_monitor_is_silent(
    project: Project, tmp_path: Path, silent_for: float
) -> None:
    """As docs/monitoring.md has it, run as cron does: by `sh`, with few variables, and what is printed is sent."""
    page = (ROOT / "docs/monitoring.md").read_text()
    path, line = re.search(r"^PATH=(.+)\n17 \* \* \* \* (.+)$", page, re.MULTILINE).groups()  # pyright: ignore
    (tmp_path / "bin").mkdir()
    executable(tmp_path / "bin")
    (tmp_path / "result.json").write_text(result(time.time() - silent_for).model_dump_json())
    places = {"/opt/beampermit/bin": f"{tmp_path}/bin", "/srv/bpm-faults": project.root, "/srv/monitor": tmp_path}
    for before, here in places.items():
        path, line = (text.replace(before, str(here)) for text in (path, line))
    cron = {"PATH": path, "HOME": str(tmp_path), "SHELL": "/bin/sh", "LOGNAME": "ml"}
    done = subprocess.run(["/bin/sh", "-c", line], env=cron, cwd="/", capture_output=True, text=True, check=False)
    if not silent_for:
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return
    assert (done.returncode, done.stdout) == (1, "")
    assert "the monitor of bpm-faults judged its last window 3.0 h ago, 2.0 h is the limit" in done.stderr
