"""The template's weekly reproduction of the champion, run by act: it passes, and says what is gone when it does not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from beampermit.project import Project
from beampermit.rehearsal import Rehearsal, rehearse
from support.conda_channel import Channel, laboratory, serving
from support.paths import ROOT
from support.rehearsals import lend_checker, log_of
from support.toy_project import descent, in_service, on_conda, trainable, trained_once

__all__ = ["trainable", "trained_once"]
WORKFLOW = ".github/workflows/reproduce.yml"
TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    with serving(laboratory(tmp_path / "lab")) as channel:
        yield channel


@pytest.fixture
def served(trainable: Project, channel: Channel, tmp_path: Path) -> Project:
    """A project with a conda lock and the template's workflow, whose model the ledger on its origin names."""
    (trainable.root / WORKFLOW).parent.mkdir(parents=True)
    (trainable.root / WORKFLOW).write_text((TEMPLATE / WORKFLOW).read_text())
    on_conda(trainable, channel)
    origin = tmp_path / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", origin], check=True)
    trainable.git("remote", "add", "origin", str(origin))
    trainable.git("push", "--quiet", "origin", "main")
    in_service(trainable)
    trainable.git("pull", "--quiet", "--rebase", "origin", "main")  # with the keys that it is signed with
    (trainable.root / "train.py").write_text("raise SystemExit('work on main goes on')\n")
    trainable.git("commit", "--quiet", "--all", "--message", "Another training")
    trainable.git("push", "--quiet", "origin", "main")
    return Project(trainable.root)


@pytest.fixture
def weekly(
    served: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Rehearsal]:
    """Run the workflow."""
    lend_checker(tmp_path_factory, monkeypatch)
    return lambda: rehearse(served, "rollback", workflow=WORKFLOW, inputs={"seeds": "all"}, timeout=240)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_champion_is_made_again_until_a_package_of_its_lock_is_another(
    weekly: Callable[[], Rehearsal], channel: Channel
) -> None:
    channel.asked.clear()
    found = weekly()
    log = log_of(found, "reproduce / reproduce")
    assert found.ok, log[-3000:]
    assert any("descent-1.0" in path for path in channel.asked), "from its channel, whatever this machine has kept"
    assert "Summary - ### ✅ The same model" in log
    assert "version 4 of bpm-faults, in service since 2026-11-23T08:00:00Z" in log
    assert "trained again with seed 0: identical" in log
    assert "seeds 0, 1, 2:" in log
    left = Path(found.artifacts) / "reproduction"
    assert {path.name for path in left.glob("seed-*")} == {"seed-0", "seed-1", "seed-2"}

    next(channel.folder.rglob("descent-1.0*")).unlink()
    descent(channel, "1.0", rate=0.1)
    found = weekly()
    assert not found.ok
    assert "Reproduce the champion" in found.failed[0].reason
    _, told = log_of(found, "reproduce / reproduce").split("Summary - ### ❌ Reproduction failed")
    assert "descent 1.0 has a wrong sha256: " in told


def test_it_may_read_and_no_more_and_sees_no_secret() -> None:
    yaml = YAML(typ="safe")
    caller, called = yaml.load(TEMPLATE / WORKFLOW), yaml.load(ROOT / ".github/workflows/ml-reproduce.yml")
    assert caller["permissions"] == called["permissions"] == {}
    assert set(caller["on"]) == {"schedule", "workflow_dispatch"}
    assert caller["concurrency"] == {"group": "reproduce", "cancel-in-progress": False}
    job = called["jobs"]["reproduce"]
    assert caller["jobs"]["reproduce"]["permissions"] == job["permissions"] == {"contents": "read"}
    assert job["timeout-minutes"] == "${{ inputs.minutes }}"
    assert "environment" not in job
    for text in ((TEMPLATE / WORKFLOW).read_text(), (ROOT / ".github/workflows/ml-reproduce.yml").read_text()):
        assert "secrets" not in text
    checkout = job["steps"][0]["with"]
    assert (checkout["persist-credentials"], checkout["fetch-depth"]) == (False, 0)
