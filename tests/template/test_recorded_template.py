"""Plain cookiecutter records what an update needs, `cruft update` works beside it, and every release can be left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from beampermit.git import Git
from beampermit.updating.answering import complete_answers
from beampermit.updating.recorded import ANSWERS, RENDERED
from beampermit.updating.source import at
from beampermit.updating.update import check, update
from support.git_repositories import committed
from support.paths import ROOT
from support.template_versions import ADDED, FIRST, change, make_versions

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_versions(tmp_path_factory.mktemp("versions") / "repository")


def run(*words: str | Path, cwd: Path) -> str:
    environment = {**os.environ, "PWD": str(cwd), "HOME": str(cwd)}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_cookiecutter_records_and_cruft_updates_and_beampermit_goes_on(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    words = ("--no-input", "--directory", "template", "--checkout", f"v{FIRST}", f"git+file://{repository}")
    run(BIN / "cookiecutter", *words, "summary=Finds the faults", cwd=tmp_path)
    git = Git(tmp_path / "bpm-faults")
    written = json.loads((git.root / ANSWERS).read_text())
    assert written["commit"] == Git(repository).resolve(f"refs/tags/v{FIRST}")
    assert written["context"]["cookiecutter"]["summary"] == "Finds the faults"
    assert {ANSWERS, RENDERED} <= set(git.tracked())
    assert git("status", "--porcelain") == ""
    written["checkout"] = None
    (git.root / ANSWERS).write_text(json.dumps(written))
    change(git.root, "Makefile", "List the targets", "List my targets")
    git("commit", "--quiet", "--all", "--message", "Mine")

    run(BIN / "cruft", "update", "--skip-apply-ask", "--checkout", f"v{ADDED}", cwd=git.root)
    assert (git.root / "docs/new-page.md").read_text() == "Watched from main.\n"
    assert "List my targets" in (git.root / "Makefile").read_text()
    assert (git.root / ".git").is_dir()
    git("add", "--all")
    git("commit", "--quiet", "--message", "Updated by cruft")
    assert json.loads((git.root / ANSWERS).read_text())["commit"] == Git(repository).resolve(f"refs/tags/v{ADDED}")

    assert check(git, ADDED).difference == "same"
    done = update(git, "9.0.3")
    assert done.staged
    assert done.staged.conflicts == ("Makefile",)


def _releases() -> list[str]:
    """The tags with a template, and the last commit: there may be no tag yet."""
    git = Git(ROOT)
    tags = [tag for tag in git("tag").splitlines() if git.try_("cat-file", "-e", f"{tag}:template/hooks").code == 0]
    return [*tags, git.head()]


@pytest.mark.parametrize("release", _releases())
def test_a_project_of_each_release_becomes_one_of_today(release: str, tmp_path: Path) -> None:
    with at(release, str(ROOT)) as source:
        answers, _ = complete_answers({}, {}, source, None)
        project = source.render(tmp_path, answers, lambda _: None)
    git = committed(project)
    outcome = update(git)
    if outcome.staged:
        assert outcome.staged.conflicts == ()
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", "Updated")
    assert check(git).difference == "same"
