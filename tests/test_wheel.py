"""The wheel, alone, holds what commands need beside Python: template, first contract, workflows, actions, documents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from beampermit import __version__
from beampermit.rehearsal.stage import PARTS
from support.forked_commands import beampermit as forked
from support.paths import ROOT

pytestmark = pytest.mark.slow
PACKAGE = "src/beampermit/"
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a release uploads, unpacked."""
    built, unpacked = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("wheel")
    command = (find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(built), str(ROOT))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = built.glob("*.whl")
    with zipfile.ZipFile(file) as opened:
        opened.extractall(unpacked)
    return unpacked


@pytest.fixture
def beampermit(wheel: Path, tmp_path: Path) -> Command:
    """Run the command from the wheel, in `tmp_path` or `cwd`."""

    def run(*words: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return forked(*words, cwd=cwd, of=str(wheel))

    return run


def test_every_file_that_git_has_of_the_package_and_of_its_parts_is_in_it(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z", PACKAGE, *PARTS], cwd=ROOT, check=True, capture_output=True)
    tracked = [name for name in listed.stdout.decode().split("\0") if (ROOT / name).is_file()]
    assert len(tracked) > 300
    assert [name for name in tracked if not (wheel / _place(name)).is_file()] == []


def test_it_says_its_version_and_only_a_commit_that_has_the_whole_template(wheel: Path) -> None:
    known = json.loads((wheel / "beampermit/_template/release.json").read_text())
    assert known["version"] == __version__
    clean = subprocess.run(["git", "status", "--porcelain", "template"], cwd=ROOT, check=True, capture_output=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert known["commit"] in (None if clean.stdout else head.stdout.strip(), None)


def test_a_newer_wheel_updates_a_project_without_a_network(beampermit: Command, wheel: Path, tmp_path: Path) -> None:
    made = beampermit("new", "--no-input", "--no-lock", "--json")
    project = Path(json.loads(made.stdout)["project"])
    assert beampermit("update", "--check", cwd=project).returncode == 0
    template = wheel / "beampermit/_template"
    page = template / "template/{{cookiecutter.project_slug}}/docs/newer.md"
    known = (template / "release.json").read_text()
    page.write_text("Of a newer version.\n")
    (template / "release.json").write_text('{"version": "99.0.0", "commit": null}')
    try:
        looked = beampermit("update", "--check", cwd=project)
        assert (looked.returncode, "added    docs/newer.md" in looked.stdout) == (1, True), looked.stderr
        done = beampermit("update", "--json", cwd=project)
        assert done.returncode == 0, done.stderr
        assert (project / "docs/newer.md").read_text() == "Of a newer version.\n"
        subprocess.run(["git", "commit", "--quiet", "--all", "-m", "Updated"], cwd=project, check=True)
        assert beampermit("update", "--check", cwd=project).returncode == 0
    finally:
        page.unlink()
        (template / "release.json").write_text(known)
    assert "nothing newer" in beampermit("update", "--check", cwd=project).stdout


def _place(name: str) -> str:
    if name.startswith(PACKAGE):
        return name.removeprefix("src/")
    return f"beampermit/{'_template' if name.startswith(('template/', 'cookiecutter.json')) else '_source'}/{name}"


def test_a_project_is_made_whose_workflows_are_followed(beampermit: Command, tmp_path: Path) -> None:
    made = beampermit("new", "--no-input", "--no-lock", "--json")
    assert made.returncode == 0, made.stderr
    project = Path(json.loads(made.stdout)["project"])
    judged = beampermit("check", "GIT003", "GIT004", "--json", cwd=project)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert [verdict["evidence"].get("not_followed", []) for verdict in json.loads(judged.stdout)] == [[], []]


def test_a_repository_that_is_there_gets_its_contract_and_workflows(
    beampermit: Command, wheel: Path, tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main", "orbit"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "beampermit", "init", "--yes", "--json"],
        cwd=tmp_path / "orbit",
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    added = {file["file"] for file in json.loads(done.stdout)["files"] if file["done"] == "added"}
    assert {"contract.yaml", "CODEOWNERS", ".github/workflows/pull-request.yml", ".github/rulesets/main.json"} <= added
    waits = beampermit("contract", "check", cwd=tmp_path / "orbit")
    assert "TODO" in waits.stdout + waits.stderr
