"""The demo's stage: it removes what a demo made and nothing else, and a command that ends wrongly ends the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.demo.stage import Stage, UnexpectedError
from beampermit.errors import BadInput


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match="not empty, and no demo made it"):
        Stage.prepare(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_interrupted_demo_is_played_again_from_the_start(tmp_path: Path) -> None:
    stage = Stage.prepare(tmp_path / "demo")
    (stage.root / "half").mkdir()
    again = Stage.prepare(tmp_path / "demo")
    assert not (again.root / "half").exists()


def test_a_command_that_ends_otherwise_than_it_must_names_the_log(tmp_path: Path) -> None:
    seen: list[str] = []
    stage = Stage.prepare(tmp_path / "demo", seen.append)
    with pytest.raises(UnexpectedError) as caught:
        stage.run("sh", "-c", "echo the remote is down; exit 4")
    assert "ended in 4, not 0: the remote is down" in str(caught.value)
    assert caught.value.file == str(stage.log)
    assert "the remote is down" in stage.log.read_text()
    assert seen == ["$ sh -c 'echo the remote is down; exit 4'", "the remote is down"]


def test_a_refusal_that_is_expected_is_no_error(tmp_path: Path) -> None:
    assert Stage.prepare(tmp_path / "demo").run("false", expect=1).code == 1


def test_whoever_plays_the_demo_it_signs_with_its_own_name(tmp_path: Path) -> None:
    assert Stage.prepare(tmp_path / "demo").run("git", "config", "user.email").out.strip() == "demo@lab.example"
