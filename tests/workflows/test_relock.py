"""The template's weekly relock, run by act: a channel has something newer, and a pull request says what moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beampermit.environments.conda_lock import CondaLock
from beampermit.git import Git
from beampermit.rehearsal import act_log, payloads, stage
from support.conda_channel import PYTHON, QUIET, Channel, laboratory, serving
from support.git_repositories import add_origin, committed
from support.github_stand_in import GitHub
from support.paths import ROOT
from support.rehearsals import lend_checker, run_workflow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WORKFLOW = ".github/workflows/relock.yml"
TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"
Relock = Callable[[str], list[act_log.Line]]


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    with serving(laboratory(tmp_path / "lab")) as channel:
        yield channel


@pytest.fixture
def root(channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A locked project with the template's workflow and an origin; meanwhile the channel has two newer packages."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "faults"
    (root / WORKFLOW).parent.mkdir(parents=True)
    (root / WORKFLOW).write_text((TEMPLATE / WORKFLOW).read_text())
    (root / "environment.yml").write_text(
        f"channels: [{channel.url}]\nplatforms: [linux-64]\ndependencies:\n  - python {PYTHON}.*\n  - orbit\n"
    )
    CondaLock().lock(root, progress=QUIET)
    committed(root)
    add_origin(root)
    channel.add("tune", "1.9")
    channel.add("zlib", "1.4", subdir="linux-64", build="h0_1")
    return root


@pytest.fixture
def relock(
    root: Path,
    github: GitHub,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Relock:
    """Run the workflow for one package, or for all; what act wrote."""
    lend_checker(tmp_path_factory, monkeypatch)

    def run(package: str) -> list[act_log.Line]:
        work = tmp_path / f"work{package}"
        clone = stage.clone_for_push(Git(root), work / "clone", None)
        Git(clone.root)("remote", "add", "github", f"https://github.com/{github.repository}")
        payload = payloads.push(github.repository, branch="main", before=None, after=clone.commit)
        return run_workflow(
            clone.root,
            work,
            WORKFLOW,
            "workflow_dispatch",
            payload | {"inputs": {"package": package}},
            repository=github.repository,
            api=github.url,
            secrets={"BEAMPERMIT_PROPOSE_TOKEN": "s3cret"},
        )

    return run


def test_what_moved_is_a_branch_and_a_pull_request(root: Path, github: GitHub, relock: Relock) -> None:
    head = Git(root).head()
    lines = relock("")
    words = "\n".join(line.text for line in lines)
    assert [line.job_result for line in lines if line.job_result] == ["success"], words
    assert "s3cret" not in words
    asked = github.pulls[1]
    assert (asked["head"]["ref"], asked["base"]["ref"]) == ("beampermit/relock", "main")
    assert "| moved | `tune` | `1.5 (0)` | `1.9 (0)` | linux-64 |" in asked["body"]
    assert "| moved | `zlib` | `1.3 (h0_1)` | `1.4 (h0_1)` | linux-64 |" in asked["body"]
    git = Git(root)
    git("fetch", "--quiet", "origin", "beampermit/relock")
    assert git("rev-parse", "FETCH_HEAD^") == head
    assert git("diff", "--name-only", "HEAD", "FETCH_HEAD") == "conda-lock.yml"
    assert "tune-1.9-0.conda" in git("show", "FETCH_HEAD:conda-lock.yml")
    assert git("ls-remote", "origin", "refs/heads/main").startswith(head)


def test_one_package_moves_alone(root: Path, github: GitHub, relock: Relock) -> None:
    lines = relock("tune")
    assert [line.job_result for line in lines if line.job_result] == ["success"], [line.text for line in lines]
    asked = github.pulls[1]
    assert (asked["head"]["ref"], asked["title"]) == ("beampermit/relock-tune", "Update tune in the lock")
    assert "`tune`" in asked["body"]
    assert "`zlib`" not in asked["body"]
    assert "1.3" in Git(root)("show", "HEAD:conda-lock.yml")
