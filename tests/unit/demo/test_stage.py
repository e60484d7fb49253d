"""The demo replaces only folders that a demo made, and ends where a command has an unexpected exit code."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import pytest

from beampermit.cli.demo import Only, _summary, demo
from beampermit.demo.stage import Stage, UnexpectedError, background
from beampermit.errors import BadInput


def test_folder_of_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match="not empty, and was not made by a demo"):
        Stage.prepare(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_interrupted_demo_starts_again(tmp_path: Path) -> None:
    stage = Stage.prepare(tmp_path / "demo")
    (stage.root / "half").mkdir()
    again = Stage.prepare(tmp_path / "demo")
    assert not (again.root / "half").exists()


def test_a_part_alone_needs_a_demo_that_was_played_to_its_end(tmp_path: Path) -> None:
    nothing, half = tmp_path / "nothing here", Stage.prepare(tmp_path / "half").root
    for folder, typed in ((nothing, f"'{nothing}'"), (half, str(half))):
        with pytest.raises(BadInput, match="no demo was played here to its end") as caught:
            demo(folder, only=Only.SERVICE)
        assert (caught.value.file, caught.value.hint) == (str(folder), f"beampermit demo --dir {typed}")
    assert [path.name for path in tmp_path.iterdir()] == ["half"], "nothing was made"


def test_the_whole_is_its_two_parts_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[str] = []
    monkeypatch.setattr("beampermit.cli.demo._Player.play", lambda _, step, __: played.append(step.title) or {})
    titles = {}
    for only in (None, Only.LOOP, Only.SERVICE):
        demo(tmp_path / "demo", only=only)
        titles[only], played = [*played], []
        (tmp_path / "demo/documents").mkdir(exist_ok=True)
        (tmp_path / "demo/documents/runbook.html").touch()
    assert titles[None] == titles[Only.LOOP] + titles[Only.SERVICE]
    assert titles[Only.SERVICE][0] == "In the control room: the champion serves"


def test_unexpected_exit_code_names_the_log(tmp_path: Path) -> None:
    seen: list[str] = []
    stage = Stage.prepare(tmp_path / "demo", seen.append)
    with pytest.raises(UnexpectedError) as caught:
        stage.run("sh", "-c", "echo the remote is down; exit 4")
    assert "ended with exit code 4, not 0: the remote is down" in str(caught.value)
    assert caught.value.file == str(stage.log)
    assert "the remote is down" in stage.log.read_text()
    assert seen == ["$ sh -c 'echo the remote is down; exit 4'", "the remote is down"]


def test_expected_failure_is_no_error(tmp_path: Path) -> None:
    assert Stage.prepare(tmp_path / "demo").run("false", expect=1).code == 1


def test_a_command_in_the_background_gives_what_it_prints_or_names_its_log(tmp_path: Path) -> None:
    stage = Stage.prepare(tmp_path / "demo")
    stage.project.mkdir()
    well = stage.start("sh", "-c", "echo job by job >&2; echo '{}'", name="good")
    ill = stage.start("sh", "-c", "echo '{}'; echo no such branch >&2; exit 2", name="bad")
    assert well.printed_at_end(0) == "{}\n"
    with pytest.raises(UnexpectedError, match="ended with exit code 2, not 1: no such branch") as caught:
        ill.printed_at_end(1)
    assert caught.value.file == str(stage.root / "bad.log")


def test_what_is_judged_in_the_background_ends_with_the_demo(tmp_path: Path) -> None:
    stage = Stage.prepare(tmp_path / "demo")
    stage.project.mkdir()
    with suppress(UnexpectedError), background() as running:
        running["judged"] = stage.start("sleep", "600", name="judged")
        running["made"] = stage.start("sleep", "600", name="made")
        stage.run("false")
    assert [one.process.returncode for one in running.values()] == [-signal.SIGTERM] * 2


def test_demo_commits_under_its_own_name(tmp_path: Path) -> None:
    assert Stage.prepare(tmp_path / "demo").run("git", "config", "user.email").out.strip() == "demo@lab.example"


def test_what_to_open_and_to_type_is_never_broken_into_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stage = Stage.prepare(tmp_path / ("a long name of a folder, " * 5) / "demo")
    _summary(stage, 1.0)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert set(stage.commands()) <= set(lines)
    assert {f"{name:<8}  {path}" for name, path in stage.results().items()} <= set(lines)
    assert f"export BEAMPERMIT_SIGNING_KEY='{stage.key}'" in lines, "as a shell reads it"
