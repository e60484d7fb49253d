"""What a report is compared with, whatever became of the base branch, and what the event says of the pull request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.documents.gathering import gather_report
from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.verdicts.evidence import Gate, Gates
from beampermit.verdicts.verdict import Where, read_verdicts
from beampermit.verdicts.writing import write_verdicts
from support.attacks import attack_case
from support.planted_results import EXPECTED, METRICS, commit, judged, verdict, write

Say = Callable[..., None]


@pytest.fixture
def event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Say what event the run is for: `event("merge_group", {...})`."""

    def say(name: str, payload: Any) -> None:
        file = tmp_path / "event.json"
        file.write_text(payload if isinstance(payload, str) else json.dumps(payload))
        monkeypatch.setenv("GITHUB_EVENT_NAME", name)
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(file))

    return say


@pytest.mark.slow
def test_a_base_branch_that_is_gone_is_told_and_ends_nothing(
    branch: Project, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_BASE_REF", "old-main")
    judged(branch, folder / "a.json", *map(verdict, EXPECTED))
    found = gather_report(Project(branch.root), folder, EXPECTED)
    assert found.base is None
    made = found.markdown()
    assert "base revision 'origin/old-main' is not in this clone: it was deleted or renamed" in made
    assert "There is no base branch to compare with." in made
    assert "| ✅ | `auc` | ≥ 0.9 | 0.9845 |" in made, "the branch's own gate, as the note says"


@pytest.mark.slow
@pytest.mark.attack(
    guard="PRF001",
    tried="the report shows the number that the project wrote for a metric with a measure",
    said="| ❌ | `auc` | ≥ 0.95 | missing |",
)
def test_a_metric_with_a_measure_is_shown_as_the_checker_computed_it(
    branch: Project, folder: Path, git: Any, said: str
) -> None:
    git("switch", "--quiet", "main")
    contract = branch.root / "contract.yaml"
    text = contract.read_text().replace("high: 0.5,", "high: 0.5, target: faulty,")
    contract.write_text(text.replace("{name: auc, better: higher", "{name: auc, measure: roc_auc"))
    commit(git, "A measure")
    git("switch", "--quiet", "better")
    git("merge", "--quiet", "--strategy-option", "ours", "main")
    judged(branch, folder / "a.json", *map(verdict, EXPECTED))
    project = Project(branch.root, "main")
    assert said in gather_report(project, folder, EXPECTED).markdown(), "the file says 0.9845"
    row = Gate(name="auc", value=0.96, gate=0.95, better="higher", met=True, by="checker")
    judged(branch, folder / "b.json", verdict("PRF001", evidence=Gates(metrics=(row,))))
    made = gather_report(project, folder, {**EXPECTED, "PRF001": "Gates"}).markdown()
    assert "| ✅ | `auc` | ≥ 0.95 | 0.96 |" in made
    assert "The checker computed `auc` itself, from the saved model's answers; " in made
    assert "the project's own code computed `false_alarm_rate`." in made


@pytest.mark.slow
def test_a_base_asked_for_by_name_must_be_there(branch: Project, folder: Path, tmp_path: Path) -> None:
    words = ["--verdicts", str(folder), "--base", "nowhere", "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(app, ["report", "--project", str(branch.root), *words])
    assert isinstance(found.exception, BadInput)
    assert "'nowhere' is not in this clone" in str(found.exception)


@pytest.mark.slow
def test_a_force_pushed_base_without_a_common_commit_is_told(branch: Project, folder: Path, git: Any) -> None:
    git("checkout", "--quiet", "--orphan", "other")
    write(branch, "metrics/metrics.json", METRICS | {"auc": 0.5})
    commit(git, "Another history")
    git("branch", "--force", "main", "other")
    git("checkout", "--quiet", "--force", "better")
    made = gather_report(Project(branch.root, "main"), folder, EXPECTED).markdown()
    assert "share no commit in this clone: one of them was force-pushed" in made
    assert "| 0.5 | +0.48" in made, "still compared, with the tip"


@pytest.mark.slow
def test_a_merge_group_is_compared_with_what_it_is_put_upon(
    branch: Project, folder: Path, git: Any, event: Say
) -> None:
    upon = git("rev-parse", "main")
    git("branch", "--force", "main", "better")
    event("merge_group", {"merge_group": {"base_sha": upon, "base_ref": "refs/heads/main"}})
    found = gather_report(Project(branch.root), folder, EXPECTED)
    assert (found.base, found.head) == (upon, git("rev-parse", "HEAD")), "its own commit is what GitHub checked out"
    assert [move.key for move in found.looser] == ["metrics.auc.gate"]


@pytest.mark.parametrize("payload", [{}, {"merge_group": {"base_sha": 3}}, [], "{", {"merge_group": "x"}])
def test_a_merge_group_without_its_base_is_told(branch: Project, folder: Path, event: Say, payload: Any) -> None:
    event("merge_group", payload)
    with pytest.raises(BadInput):
        _ = Project(branch.root).base
    assert gather_report(Project(branch.root), folder, EXPECTED).notes


@pytest.mark.slow
def test_the_head_is_the_pull_requests_and_not_the_merge_that_was_checked_out(
    branch: Project, folder: Path, event: Say
) -> None:
    event("pull_request", {"pull_request": {"head": {"sha": "b" * 40}}})
    found = gather_report(branch, folder, EXPECTED)
    assert found.head == "b" * 40
    assert "head `bbbbbbbbbbbb`" in found.markdown()


@pytest.mark.slow
@pytest.mark.parametrize("payload", [{}, {"pull_request": None}, {"pull_request": {"head": {"sha": "main"}}}, "{"])
def test_an_event_that_cannot_be_read_leaves_the_commit(
    branch: Project, folder: Path, event: Say, payload: Any
) -> None:
    event("pull_request", payload)
    found = gather_report(branch, folder, EXPECTED)
    assert found.head == found.commit


@pytest.mark.slow
def test_a_pull_request_in_another_event_is_not_what_was_checked_out(branch: Project, folder: Path, event: Say) -> None:
    event("issue_comment", {"pull_request": {"head": {"sha": "b" * 40}}})
    found = gather_report(branch, folder, EXPECTED)
    assert found.head == found.commit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "contract"),
    [
        attack_case(
            "https://github.com/lab/faults/actions/runs/6",
            None,
            guard="report",
            tried="the report is given verdicts of another workflow run",
            said="a.json: its verdicts are of another workflow run",
        ),
        attack_case(
            "https://github.com/lab/faults/actions/runs/7",
            f"sha256:{'9' * 64}",
            guard="report",
            tried="the report is given verdicts by another contract than the base's",
            said="a.json: its verdicts are by another contract than the base's, sha256:",
        ),
    ],
)
def test_verdicts_that_make_no_permit_are_not_reported_as_passed(
    branch: Project, folder: Path, monkeypatch: pytest.MonkeyPatch, run: str, contract: str | None, said: str
) -> None:
    file = folder / "a.json"
    judged(branch, file, *map(verdict, EXPECTED))
    for name, value in {"SERVER_URL": "https://github.com", "REPOSITORY": "lab/faults", "RUN_ID": "7"}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    here = read_verdicts(file).model_copy(update={"where": Where.here(), "base_contract": branch.base_contract_digest})
    write_verdicts(file, here)
    assert gather_report(branch, folder, EXPECTED).judged.all_passed
    where = here.where.model_copy(update={"run": run})
    write_verdicts(file, here.model_copy(update={"where": where, "base_contract": contract or here.base_contract}))
    found = gather_report(branch, folder, EXPECTED).judged
    assert not found.all_passed
    assert said in found.unread[0]


@pytest.mark.slow
def test_the_command_writes_markdown_page_drawings_and_the_file_to_write_them_again(
    branch: Project, folder: Path, tmp_path: Path
) -> None:
    judged(branch, folder / "a.json", *map(verdict, EXPECTED))
    out = tmp_path / "report"
    words = ["--verdicts", str(folder), "--base", "main", "--out", str(out)]
    assert CliRunner().invoke(app, ["report", "--project", str(branch.root), *words]).exit_code == 0
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    drawings = {"plots/1-loss.png", "plots/2-roc.png", "plots/3-confusion.png"}
    assert files == {"report.json", "report.md", "summary.md", "report.html", *drawings}
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in drawings)
    page = (out / "report.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^":]+:)', page)) == {"data:"}, "nothing is fetched from anywhere"
