"""A retraining is a pull request with data and results; nothing of the protected branch changes before people merge."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from beampermit.contract import parse_contract
from beampermit.errors import BadInput, Failed
from beampermit.github.branches import commit_files
from beampermit.github.client import Client
from beampermit.processes import Finished
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.retraining import BRANCH, BUNDLE, REF, _extend_request, _repeat_request, propose, retrain
from support.dvc_repositories import leaf, replace
from support.git_repositories import add_origin
from support.github_stand_in import GitHub
from support.staged_project import staged, staged_once
from support.toy_project import HERE, trainable, trained_once

__all__ = ["staged", "staged_once", "trainable", "trained_once"]
NOW = datetime(2026, 11, 29, 20, 0, tzinfo=UTC)
REQUEST = """request:
    # what the archiver has
    source: archiver
    signals: [{name: current, pv: "RING:CURRENT", unit: mA}]
    ranges:
      - {start: 2026-03-01T00:00:00Z, end: 2026-03-08T00:00:00Z}   # the first week
      - {start: 2026-04-01T00:00:00Z, end: "2026-04-08T02:00:00+02:00"}
    sampling: {period: 1s}
    gaps: {max_age: 5s}"""


def write_request(project: Project, request: str) -> None:
    file = project.root / "contract.yaml"
    before = "request: {source: simulator, version: 1, options: {acquisitions: 8, monitors: 20, seed: 1}}"
    replace(file, before, request)


@pytest.fixture
def client(github: GitHub) -> Client:
    return Client(github.repository, "s3cret", github.url)


@pytest.fixture
def origin(staged: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("GITHUB_REF_NAME", "main")
    add_origin(staged.root)
    return Project(staged.root)


@pytest.mark.slow
def test_new_data_are_trained_on_and_proposed_while_nothing_else_changes(
    origin: Project, client: Client, github: GitHub, tmp_path: Path
) -> None:
    git, head = origin.git, origin.git.head()
    done = retrain(origin, HERE, tmp_path / "out", NOW, silent)
    assert done.commit
    assert git("rev-parse", f"{done.commit}^") == head
    changed = git("diff", "--name-only", "HEAD", done.commit).split()
    assert {"dvc.lock", "manifest.json"} <= {*changed}
    assert [name for name in changed if name.endswith((".py", ".yaml"))] == ["contract.yaml"]
    renewed = parse_contract(git("show", f"{done.commit}:contract.yaml"))
    assert renewed.dataset.request.version == 2, "PRF001 holds other test rows to be a mistake otherwise"
    assert github.asked == []
    address = propose(origin, client, tmp_path / "out" / BUNDLE, "bpm-faults MON001 turns.std @ada")
    assert address == "https://git.example/lab/faults/pull/1"
    pull = github.pulls[1]
    assert (pull["head"]["ref"], pull["base"]["ref"], pull["state"]) == (BRANCH, "main", "open")
    assert "@ada" not in pull["body"]
    assert (git.head(), git("ls-remote", "origin", "refs/heads/main").split()[0]) == (head, head)
    assert [str(asked) for asked in github.asked] == ["POST /repos/lab/faults/pulls"]
    # The interlocks judge what was pushed: its data are on the remote.
    assert origin.git.remote_tip("origin", BRANCH)[1] == done.commit


@pytest.mark.slow
def test_a_stage_that_fails_proposes_nothing(origin: Project, tmp_path: Path) -> None:
    (origin.root / "fetch.py").write_text("raise SystemExit('the archiver is down')\n")
    with pytest.raises(Failed, match="the pipeline failed: failed to reproduce 'fetch'"):
        retrain(origin, HERE, tmp_path / "out", NOW, silent)
    assert not (tmp_path / "out" / BUNDLE).exists()


def bundle(project: Project, files: dict[str, str], into: Path) -> Path:
    """A commit with these files on HEAD, as whoever runs code in the first job could make it."""
    for name, text in files.items():
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_text(text)
    commit = commit_files(project.git, [*files], "Retrain")
    assert commit
    project.git("update-ref", REF, commit)
    project.git("bundle", "create", "--quiet", str(into), f"HEAD..{REF}")
    project.git("checkout", "--quiet", "--", ".")
    return into


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: {".github/workflows/release.yml": "on: push\n"}, r"this one changes '\.github/workflows/release"),
        (lambda root: {"train.py": "import os\n"}, r"this one changes 'train\.py'"),
        (lambda root: {"metrics/calibration.json": "{}"}, r"this one changes 'metrics/calibration\.json'"),
        (
            lambda root: {"contract.yaml": (root / "contract.yaml").read_text().replace("gate: 0.95", "gate: 0.05")},
            "changes no other key of the contract",
        ),
        (
            lambda root: {"contract.yaml": (root / "contract.yaml").read_text().replace("version: 1", "version: 3")},
            "changes no other key of the contract",
        ),
    ],
)
def test_the_second_half_takes_data_and_results_alone(
    origin: Project,
    client: Client,
    github: GitHub,
    tmp_path: Path,
    change: Callable[[Path], dict[str, str]],
    words: str,
) -> None:
    made = bundle(origin, change(origin.root), tmp_path / BUNDLE)
    with pytest.raises(BadInput, match=words):
        propose(origin, client, made, "")
    assert github.asked == []
    assert origin.git.remote_tip("origin", BRANCH)[1] == ""


@pytest.mark.slow
def test_what_is_no_bundle_on_this_commit_is_refused(origin: Project, client: Client, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no bundle of a retraining"):
        propose(origin, client, tmp_path / "none", "")
    (tmp_path / "junk").write_text("junk")
    with pytest.raises(BadInput, match="this is no bundle of a retraining"):
        propose(origin, client, tmp_path / "junk", "")
    made = bundle(origin, {"metrics/metrics.json": "{}"}, tmp_path / BUNDLE)
    (origin.root / "notes.txt").write_text("moved on")
    origin.git("add", "notes.txt")
    origin.git("commit", "--quiet", "--message", "Moved on")
    with pytest.raises(BadInput, match="not one commit on top of the commit that is checked out"):
        propose(origin, client, made, "")


SOURCE = "    source: archiver\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{SOURCE}    version: 41\n", f"{SOURCE}    version: 42\n"),
        (
            SOURCE.replace("\n", "  # or files\n"),
            "    version: 2\n    source: archiver  # or files\n",
        ),  # where there is none, it is 1
        (f"{SOURCE}    version: 1  # of 3\n", f"{SOURCE}    version: 2  # of 3\n"),
    ],
)
@pytest.mark.parametrize("end", ['"2026-04-08T02:00:00+02:00"', "2026-04-08 00:00:00Z", "2026-04-08T00:00:00Z"])
def test_the_end_of_the_newest_range_becomes_now_in_the_next_version_and_nothing_else_of_the_contract(
    project: Project, before: str, after: str, end: str
) -> None:
    request = REQUEST.replace('"2026-04-08T02:00:00+02:00"', end)
    write_request(project, request.replace(SOURCE, before))
    text = (project.root / "contract.yaml").read_text()
    assert end in text
    _extend_request(Project(project.root), NOW)
    found = (project.root / "contract.yaml").read_text()
    assert found == text.replace(end, "2026-11-29T20:00:00Z").replace(before, after)
    assert parse_contract(found).dataset.request.ranges[1].end == NOW


@pytest.mark.slow
def test_a_request_in_one_line_gets_its_version_there(project: Project) -> None:
    span = "ranges: [{start: 2026-04-01T00:00:00Z, end: 2026-04-08T00:00:00Z}]"
    more = "signals: [{name: current, pv: P, unit: mA}], sampling: {period: 1s}, gaps: {max_age: 5s}"
    write_request(project, f"request: {{source: archiver, {span}, {more}}}")
    _extend_request(Project(project.root), NOW)
    text = (project.root / "contract.yaml").read_text()
    assert "request: {version: 2, source: archiver, ranges" in text
    assert "end: 2026-11-29T20:00:00Z" in text


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "version"), [("other", 2), ("same", 1)])
def test_a_request_without_ranges_is_the_next_version_where_its_answer_is_another(
    dvc_project: Project, monkeypatch: pytest.MonkeyPatch, answer: str, version: int
) -> None:
    lock, file = dvc_project.root / "dvc.lock", dvc_project.root / "contract.yaml"

    def run(*_: object) -> Finished:
        if answer == "other":
            stored = leaf(dvc_project.root, dvc_project.root / ".dvc/cache", "data/raw.parquet")
            replace(lock, stored.parent.name + stored.name, "a" * 32)
        return Finished((), 0, "", "")

    monkeypatch.setattr("beampermit.retraining._dvc", run)
    before = file.read_text()
    _repeat_request(Project(dvc_project.root), HERE, silent, before)
    assert file.read_text() == before.replace("version: 1", f"version: {version}")


def test_a_request_that_reaches_into_the_future_stays(project: Project) -> None:
    write_request(project, REQUEST)
    text = (project.root / "contract.yaml").read_text()
    assert _extend_request(Project(project.root), datetime(2026, 4, 1, tzinfo=UTC))
    assert (project.root / "contract.yaml").read_text() == text
