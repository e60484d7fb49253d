"""`beampermit inventory` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from support.promoted_project import IN_SERVICE
from support.registry_project import Laboratory, database, prepared

__all__ = ["database", "prepared"]


@pytest.fixture
def lab(prepared: Callable[..., Laboratory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """Version 1 is champion; the working folder is beside it."""
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    made = prepared("served", *IN_SERVICE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
    monkeypatch.chdir(tmp_path)
    return made


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["inventory", "--no-services", *words], catch_exceptions=False)
    return done.exit_code, done.stdout


@pytest.mark.slow
def test_page_json_and_exit_code_say_the_same(lab: Laboratory, tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text("inventory: 1\npeople: people\nprojects: [{repository: origin.git}]\n")
    (tmp_path / "people").write_text("ada@lab.example\nbo@lab.example\n")
    code, said = run("--html", "page.html", "--markdown", "page.md")
    assert code == 0
    assert said.endswith("1 model, 1 in service: nothing is wrong\n")
    lab.freeze()
    (tmp_path / "people").write_text("ada@lab.example\n")
    code, said = run("--json", "--html", "page.html", "--markdown", "page.md")
    body = json.loads(said)
    assert (code, body["exit_code"]) == (1, 1)
    assert [(one["id"], one["title"], one["level"]) for one in body["findings"]] == [
        ("INV007", "An owner is gone", "MINOR"),
        ("INV012", "Frozen", "NOTE"),
    ]
    for file in ("page.html", "page.md"):
        assert "An owner is gone" in (tmp_path / file).read_text()
    _, said = run("--file", "inventory.yaml")
    assert "MINOR INV007  bpm-faults of " in said
    assert "      next: name who is there under model.owners in contract.yaml" in said


@pytest.mark.slow
def test_the_project_around_is_taken_where_nothing_is_named(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab.root)
    code, said = run("--json")
    assert code == 0
    assert [entry["model"] for entry in json.loads(said)["entries"]] == ["bpm-faults"]


@pytest.mark.slow
def test_what_cannot_be_reached_is_4(lab: Laboratory, tmp_path: Path) -> None:
    code, said = run(str(tmp_path / "none.git"))
    assert code == 4
    assert "INV016" in said
