"""The report of a run is posted on the pull request that GitHub names, from strictly validated data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from beampermit.changes.flat import Change
from beampermit.cli.main import app
from beampermit.cli.output import fail
from beampermit.commenting import Commenter
from beampermit.documents.report import Report
from beampermit.errors import BadInput, Outside
from beampermit.github.client import Client
from beampermit.github.sticky import BOT, Mark, Outcome, parse_mark
from beampermit.verdicts.merge import MergedVerdicts
from beampermit.verdicts.verdict import Outcome as VerdictOutcome
from beampermit.verdicts.verdict import Verdict
from support.github_server import meanwhile, says, too_fast
from support.github_stand_in import GitHub, Token, environment
from support.hostile_text import FRAGMENTS, assert_harmless
from support.zip_archives import archive

pytestmark = pytest.mark.slow

HEAD, NEXT, BASE = "a" * 40, "b" * 40, "c" * 40
EXPECTED = {"DOC001": "Two owners"}
PASSED = Verdict(id="DOC001", title="Two owners", outcome=VerdictOutcome.PASSED, reason="Ada and Lise")


def written(**more: Any) -> Report:
    values: dict[str, Any] = {"head": HEAD, "judged": MergedVerdicts((PASSED,), {})}
    return Report(**{"name": "bpm-faults", "commit": "d" * 40, "tree": "e" * 40, "base": BASE, **values, **more})


def left(content: str | bytes, name: str = "report.json") -> bytes:
    """An artifact with a report."""
    return archive(("summary.md", b"# whatever"), (name, content.encode() if isinstance(content, str) else content))


@pytest.fixture
def commenter(github: GitHub) -> Commenter:
    return Commenter(Client(github.repository, "s3cret", github.url, lambda _: None), EXPECTED)


def ran(github: GitHub, report: Report | str | bytes, fork: str = "stranger/faults", **more: Any) -> int:
    """A run of a fork's pull request with this report; returns its number."""
    run = github.run(HEAD, fork=fork, **more)
    content = report.json_text() if isinstance(report, Report) else report
    github.artifact(run["id"], "report", left(content))
    return run["id"]


def said(github: GitHub) -> list[str]:
    return [comment["body"] for comment in github.comments.values() if comment["user"]["login"] == BOT]


def test_the_pull_request_of_a_fork_gets_the_report_of_its_run(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="somebody/faults")  # of the same branch and commit, in another fork
    mine = github.pull(HEAD, fork="stranger/faults")
    run = ran(github, written())
    posted = commenter.from_run(run)
    assert posted.outcome is Outcome.CREATED
    assert posted.address is not None
    assert posted.address.startswith(mine["html_url"])
    assert "✅ bpm-faults: 1 interlock passed" in said(github)[0]
    assert f"From [run {run}](https://github.com/lab/faults/actions/runs/{run})" in said(github)[0]
    assert parse_mark(said(github)[0]) == Mark(run, 1, HEAD)


def test_the_pull_request_of_the_same_repository_gets_it_too(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD)
    assert commenter.from_run(ran(github, written(), fork="")).outcome is Outcome.CREATED


def test_no_more_requests_than_needed(
    commenter: Commenter, github: GitHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    github.pull(HEAD, fork="stranger/faults")
    commenter.from_run(ran(github, written(name="before")))
    run = ran(github, written())
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"workflow_run": github.runs[run]}))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "workflow_run")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    github.asked.clear()
    assert commenter.from_run(run).outcome is Outcome.UPDATED
    made = [f"{one.method} {one.path.removeprefix('/repos/lab/faults/').partition('/')[0]}" for one in github.asked]
    assert made == ["GET pulls", "GET actions", "GET actions", "GET issues", "PATCH issues"]
    github.asked.clear()
    assert commenter.from_run(run).outcome is Outcome.UNCHANGED
    assert len(github.asked) == 4


def test_the_checker_decides_which_interlocks_must_pass(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults")
    forged = json.loads(written().json_text())
    forged["judged"]["verdicts"][0]["id"] = "DOC002"
    commenter.from_run(ran(github, json.dumps(forged)))
    assert "❌ bpm-faults: 1 without a verdict: DOC001" in said(github)[0]


def test_a_passed_report_of_a_failed_run_gets_a_caution(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults")
    commenter.from_run(ran(github, written(), conclusion="failure"))
    (body,) = said(github)
    assert body.startswith("> [!CAUTION]\n> This report says that all interlocks passed, but its run failed.")
    assert "conclusion failure" in body


@pytest.mark.parametrize(
    "event", ["push", "merge_group", "workflow_dispatch", "pull_request_target", "x\n::error::x ##[error]x"]
)
def test_a_run_of_another_event_has_no_pull_request(commenter: Commenter, github: GitHub, event: str) -> None:
    github.pull(HEAD, fork="stranger/faults")
    posted = commenter.from_run(ran(github, written(), event=event))
    assert posted.outcome is Outcome.NOWHERE
    assert "\n" not in posted.reason
    assert "##[" not in posted.reason
    assert len(github.asked) == 1


def test_a_run_that_waits_for_approval_is_no_failure(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults")
    run = github.run(HEAD, fork="stranger/faults", conclusion="action_required")["id"]
    posted = commenter.from_run(run)
    assert posted.reason == f"run {run} did not start: its conclusion is action_required"
    assert github.comments == {}


def closed(github: GitHub) -> None:
    github.pulls[1]["state"] = "closed"


def pushed(github: GitHub) -> None:
    github.pulls[1]["head"]["sha"] = NEXT


def renamed(github: GitHub) -> None:
    github.pulls[1]["head"]["ref"] = "another"


def fork_deleted(github: GitHub) -> None:
    github.pulls[1]["head"]["repo"] = None


def taken_over(github: GitHub) -> None:
    github.pulls[1]["head"]["repo"] = {"full_name": "stranger/another"}


@pytest.mark.parametrize("happens", [closed, pushed, renamed, fork_deleted, taken_over])
def test_a_pull_request_that_is_no_longer_at_that_head_gets_nothing(
    commenter: Commenter, github: GitHub, happens: Callable[[GitHub], None]
) -> None:
    github.pull(HEAD, fork="stranger/faults")
    run = ran(github, written())
    happens(github)
    posted = commenter.from_run(run)
    assert posted.outcome is Outcome.NOWHERE
    assert "no open pull request has head aaaaaaaaaaaa" in posted.reason
    assert github.comments == {}
    assert github.count("artifacts") == 0


def test_the_head_is_checked_also_when_github_ignores_the_filter(commenter: Commenter, github: GitHub) -> None:
    others = [github.pull(NEXT, branch="a"), github.pull(HEAD, branch="b", fork="x/y")]
    github.next(says(200, others), of="/pulls")
    assert commenter.from_run(ran(github, written())).outcome is Outcome.NOWHERE


@pytest.mark.parametrize("gone", ["head_repository", "head_branch"])
def test_a_run_whose_fork_or_branch_is_gone_gets_nothing(commenter: Commenter, github: GitHub, gone: str) -> None:
    github.pull(HEAD, fork="stranger/faults")
    assert commenter.from_run(ran(github, written(), **{gone: None})).outcome is Outcome.NOWHERE


def test_a_locked_pull_request_is_left_alone(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults", locked=True)
    posted = commenter.from_run(ran(github, written()))
    assert posted.reason == "pull request 1 is locked and takes no comments"
    assert github.count("POST") == 0


def test_two_pull_requests_with_the_same_head_are_refused(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults")
    github.pull(HEAD, fork="stranger/faults", base="next")
    with pytest.raises(BadInput, match="pull requests 1, 2 have the same head commit"):
        commenter.from_run(ran(github, written()))
    assert github.comments == {}


def test_a_pull_request_number_in_the_artifact_is_refused(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults")
    victim = github.pull(NEXT, branch="victim")
    forged = {**json.loads(written().json_text()), "pull_request": victim["number"]}
    with pytest.raises(BadInput, match="pull_request: Extra inputs"):
        commenter.from_run(ran(github, json.dumps(forged)))
    assert {comment["issue_url"].rpartition("/")[2] for comment in github.comments.values()} == {"1"}


def test_a_report_about_another_commit_is_refused(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults")
    with pytest.raises(BadInput, match="the report is of commit bbbbbbbbbbbb, its run of aaaaaaaaaaaa"):
        commenter.from_run(ran(github, written(head=NEXT)))
    assert said(github)[0].startswith("# ❌ No report\n")


SOUND = written().json_text()


@pytest.mark.parametrize(
    "content",
    [
        SOUND.replace('"seconds":0.0', '"seconds":NaN'),
        SOUND.replace('"seconds":0.0', '"seconds":1e999'),
        SOUND.replace('"seconds":0.0', f'"seconds":{"9" * 5000}'),
        SOUND.replace('"name"', '"name":"x","name"', 1),
        SOUND.replace('"notes":[]', f'"notes":{"[" * 9999}{"]" * 9999}'),
        f"\ufeff{SOUND}",
        SOUND.replace("bpm-faults", "\\ud800"),
        SOUND.replace('"rows":{}', '"rows":{"x\\n::error::x":"##[error]x"}'),
        SOUND.replace('"notes":[]', '"@octocat](https://evil.example)\\n::add-mask::x\\u001b[31m":1'),
        "[]",
        "",
    ],
    ids=["nan", "infinity", "huge", "twice", "deep", "bom", "half", "command", "key", "list", "empty"],
)
def test_an_invalid_report_is_refused_and_the_comment_says_so(
    commenter: Commenter, github: GitHub, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert content != SOUND
    github.pull(HEAD, fork="stranger/faults")
    commenter.from_run(ran(github, written()))
    run = ran(github, content)
    with pytest.raises(BadInput) as caught:
        commenter.from_run(run)
    assert_one_line(caught.value, capsys)
    (body,) = said(github)
    assert body.startswith("# ❌ No report\n\nThe report of this run was refused: report.json")
    assert_harmless(_without_our_links(body, run))


def assert_one_line(error: BadInput, capsys: pytest.CaptureFixture[str]) -> None:
    """The job's log has no workflow command."""
    fail(error)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith("beampermit: ")
    assert all(line.startswith("      next: ") for line in rest)
    assert "##[" not in first
    assert "\x1b" not in first


def test_a_refused_archive_is_reported_without_its_text(
    commenter: Commenter, github: GitHub, capsys: pytest.CaptureFixture[str]
) -> None:
    github.pull(HEAD, fork="stranger/faults")
    run = github.run(HEAD, fork="stranger/faults")["id"]
    github.artifact(run, "report", left(written().json_text(), name="../@octocat\n::error::x"))
    with pytest.raises(BadInput, match="is not a file of a report") as caught:
        commenter.from_run(run)
    assert_one_line(caught.value, capsys)
    assert_harmless(_without_our_links(said(github)[0], run))


def test_a_run_without_a_report_replaces_the_old_comment(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults")
    commenter.from_run(ran(github, written()))
    run = github.run(HEAD, fork="stranger/faults", conclusion="failure")["id"]
    with pytest.raises(BadInput, match="has no artifact 'report'"):
        commenter.from_run(run)
    (body,) = said(github)
    assert "has no artifact 'report'" in body
    assert "conclusion failure" in body


@pytest.mark.parametrize("fragments", [FRAGMENTS[first::8] for first in range(8)])
def test_text_of_a_project_is_never_markup(commenter: Commenter, github: GitHub, fragments: tuple[str, ...]) -> None:
    github.pull(HEAD, fork="stranger/faults")
    values = tuple(f"{fragment} x {fragment}".encode("utf-8", "replace").decode() for fragment in fragments)
    not_passed = tuple(
        Verdict(id=f"DOC{place:03}", title=value, outcome=VerdictOutcome.FAILED, reason=value, fix=value)
        for place, value in enumerate(values, 1)
    )
    judged = MergedVerdicts(not_passed, {}, values, values, values)
    report = written(name=values[0], notes=values, watched=values, judged=judged)
    run = ran(github, report)
    commenter.from_run(run)
    (body,) = said(github)
    assert "Left out," not in body
    assert_harmless(_without_our_links(body, run))


def _without_our_links(body: str, run: int) -> str:
    """The part of a comment that the project can influence."""
    assert parse_mark(body)
    text, _, _ = body.rpartition("<!-- beampermit run")
    return text.replace(f"[run {run}](https://github.com/lab/faults/actions/runs/{run})", "the run")


def test_a_long_report_leaves_sections_to_the_summary(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults")
    packages = tuple(Change(f"package {number} {'x' * 50}", "1", "2") for number in range(1000))
    run = ran(github, written(packages=packages))
    commenter.from_run(run)
    (body,) = said(github)
    assert len(body) <= 65_536
    assert "Left out, because a comment has a maximum length: passed interlocks, environment." in body
    assert f"They are in the summary of [run {run}]" in body


@pytest.mark.parametrize(
    "fault", [says(404), says(403), says(500), says(200, {"id": "7"}), says(200, b"<html>"), says(200, [])]
)
def test_a_run_that_cannot_be_read_is_exit_4(commenter: Commenter, github: GitHub, fault: object) -> None:
    run = ran(github, written())
    github.next(*[fault] * 9)
    with pytest.raises(Outside):
        commenter.from_run(run)


def test_limits_are_waited_for(commenter: Commenter, github: GitHub) -> None:
    github.pull(HEAD, fork="stranger/faults")
    run = ran(github, written())
    github.next(*[too_fast(2), too_fast(2, 429)] * 2)
    assert commenter.from_run(run).outcome is Outcome.CREATED


def test_a_pull_request_locked_meanwhile_is_reported(commenter: Commenter, github: GitHub) -> None:
    pull = github.pull(HEAD, fork="stranger/faults")
    github.next(meanwhile(lambda: pull.update(locked=True)), of="POST")
    with pytest.raises(Outside, match="issue is locked"):
        commenter.from_run(ran(github, written()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `beampermit report` wrote."""
    (tmp_path / "report").mkdir()
    (tmp_path / "report/report.json").write_text(written().json_text())
    return tmp_path / "report"


@pytest.fixture
def job(github: GitHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A job of a pull request."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"number": 1}))
    more = {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": str(event), "GITHUB_RUN_ID": "12"}
    for name, value in environment(github, GITHUB_RUN_ATTEMPT="3", **more).items():
        monkeypatch.setenv(name, value)


def command(*words: str) -> Any:
    return CliRunner().invoke(app, ["comment", *words])


def test_the_job_of_a_pull_request_comments_from_its_folder(
    job: None, github: GitHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    github.pull(HEAD)
    done = command("--report", str(folder))
    assert done.exit_code == 0, done.output
    assert done.output.startswith("created: https://git.example/lab/faults/pull/1#issuecomment-")
    assert parse_mark(said(github)[0]) == Mark(12, 3, HEAD)
    assert len(github.asked) == 4
    monkeypatch.setenv("GITHUB_RUN_ID", "13")
    github.asked.clear()
    answer = json.loads(command("--report", str(folder), "--json").output)
    assert answer["outcome"] == "updated"
    assert [one.method for one in github.asked] == ["GET", "GET", "PATCH"]


def test_a_report_of_an_older_head_is_not_posted(job: None, github: GitHub, folder: Path) -> None:
    github.pull(NEXT)
    done = command("--report", str(folder))
    assert (done.exit_code, done.output) == (
        0,
        "stale: the report is of commit aaaaaaaaaaaa, pull request 1 is at bbbbbbbbbbbb\n",
    )
    assert len(github.asked) == 1


def test_a_closed_pull_request_is_not_commented_on(job: None, github: GitHub, folder: Path) -> None:
    github.pull(HEAD, state="closed")
    assert command("--report", str(folder)).output == "nowhere: pull request 1 is closed\n"


def test_outside_of_a_job_the_pull_request_is_named(
    job: None, github: GitHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_EVENT_NAME")
    github.pull(HEAD)
    done = command("--report", str(folder))
    assert isinstance(done.exception, BadInput)
    assert done.exception.hint == "beampermit comment --pull NUMBER"
    assert command("--report", str(folder), "--pull", "1").exit_code == 0


@pytest.mark.parametrize("odd", ["x", "-1", "1_000", "9" * 5000, "\u0663"])
def test_an_invalid_run_number_is_reported(
    job: None, github: GitHub, folder: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    github.pull(HEAD)
    monkeypatch.setenv("GITHUB_RUN_ID", odd)
    done = command("--report", str(folder))
    assert isinstance(done.exception, BadInput)
    assert "GITHUB_RUN_ID is not a number" in done.exception.message
    assert github.count("POST") == 0


@pytest.mark.parametrize("words", [("--from-run", "0"), ("--from-run=-7",), ("--pull", "0")])
def test_a_run_number_of_zero_is_a_usage_error(job: None, github: GitHub, words: tuple[str, ...]) -> None:
    assert command(*words).exit_code == 2
    assert github.asked == []


def test_a_folder_without_a_report_names_the_command_that_writes_one(job: None, github: GitHub, tmp_path: Path) -> None:
    done = command("--report", str(tmp_path))
    assert isinstance(done.exception, BadInput)
    assert done.exception.hint == "beampermit report"


def test_missing_permissions_are_reported(job: None, github: GitHub) -> None:
    github.tokens["s3cret"] = Token(rights=frozenset({"contents:read"}))
    done = command("--from-run", "7")
    assert isinstance(done.exception, Outside)
    assert "permissions" in done.exception.hint


def test_a_missing_cml_is_reported(job: None, github: GitHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    github.pull(HEAD)
    monkeypatch.setenv("PATH", str(folder))
    done = command("--report", str(folder), "--via", "cml")
    assert isinstance(done.exception, BadInput)
    assert "program 'cml' is not installed" in done.exception.message
