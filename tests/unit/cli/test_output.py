"""What is pasted from a terminal of 80 columns is whole; a log shows that long work goes on, without a line a file."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from beampermit.cli import output
from beampermit.cli.main import app
from beampermit.errors import BadInput, Failed, Problem
from beampermit.project import Project
from beampermit.rehearsal.display import summary
from beampermit.rehearsal.record import Rehearsal, RehearsedJob, Result

LONG = "/srv/beam/[operators]/a folder with :key: in its name/that-is-wider/than-eighty-columns/train.parquet"


def lines_of(*command: object) -> list[str]:
    result = CliRunner().invoke(app, list(map(str, command)), env={"COLUMNS": "80"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.stdout.splitlines()


def test_a_long_line_is_printed_literally_and_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    output.console().print(LONG)
    assert capsys.readouterr().out == f"{LONG}\n"


@pytest.mark.slow
def test_compared_files_keep_their_whole_paths_and_histograms(tmp_path: Path) -> None:
    files = [tmp_path / side / ("a-folder-with-a-long-name" * 3) / "train.parquet" for side in ("before", "after")]
    for file, scale in zip(files, (1, 3), strict=True):
        file.parent.mkdir(parents=True)
        duckdb.sql(f"COPY (SELECT i AS id, i * {scale}.5 AS orbit FROM range(40) AS t(i)) TO '{file}'")
    lines = lines_of("data", "diff", *files, "--project", tmp_path)
    assert lines[:2] == [f"before: {files[0]}", f"after:  {files[1]}"]
    assert any(line.split() == ["signal", "before", "after"] for line in lines)
    assert not any("…" in line for line in lines)


def test_packages_that_differ_are_one_line_each(tmp_path: Path) -> None:
    name, version = "a-package-with-a-name-as-long-as-some-have", "2.5.0+cu124.with.a.long.local.part"
    header = 'version = 1\nrequires-python = ">=3.11"\n'
    package = f'[[package]]\nname = "{name}"\nsource = {{ registry = "https://index.example/simple" }}\nversion = '
    for file, locked in (("old.lock", "1.0"), ("new.lock", version)):
        (tmp_path / file).write_text(f'{header}\n{package}"{locked}"\n')
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    lines = lines_of("env", "diff", tmp_path / "old.lock", tmp_path / "new.lock", "--project", tmp_path)
    assert [line.split() for line in lines[1:]] == [["moved", name, "1.0", version]]


def test_jobs_and_folders_of_a_rehearsal_are_whole() -> None:
    job = RehearsedJob(name="ml / " + "a job with a long name " * 4, result=Result.FAILURE, reason="exit 1", log=LONG)
    rehearsal = Rehearsal(
        event="pull_request",
        workflow="pull-request.yml",
        commit="c" * 40,
        base=None,
        head="c" * 40,
        jobs=(job,),
        seconds=3,
        folder=LONG,
        artifacts=LONG,
    )
    lines = summary(rehearsal).plain.splitlines()
    assert lines[0].startswith(f"●  {job.name}  failure")
    assert {f"  log: {LONG}", f"logs and artifacts: {LONG}"} <= set(lines)


def test_a_log_has_a_line_for_each_step_and_not_for_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    with output.shown_progress() as progress:
        for number in range(1000):
            progress(f"fetching packages: {number} of 1000")
        progress("")
        progress("[linking]")
    assert capsys.readouterr().err == "fetching packages: 0 of 1000\n[linking]\n"


def test_a_log_shows_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([0.0, 5.0, 11.0, 12.0])
    monkeypatch.setattr(output.time, "monotonic", lambda: next(moments))
    with output.shown_progress() as progress:
        for done in range(4):
            progress("objects", done, 3)
    assert capsys.readouterr().err == "objects: 0 of 3\nobjects: 2 of 3\n"


def test_the_screen_names_the_first_packages_that_differ_and_every_line_to_correct(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [Problem(f"package{number} differs", "uv.lock") for number in range(12)]
    monkeypatch.setattr(output.sys, "argv", ["beampermit", "env", "install"])
    for also, last in (
        (others[:10], "  - uv.lock: package9 differs"),
        (others[:11], "  - and 1 more problem (--json names them all)"),
        (others, "  - and 2 more problems (--json names them all)"),
    ):
        assert output.fail(Failed("numbers differs", also=also)) == 1
        assert capsys.readouterr().err.splitlines()[-1] == last
    assert output.fail(BadInput("no unit", also=others)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "  - uv.lock: package11 differs"
    monkeypatch.setattr(output.sys, "argv", ["beampermit", "env", "install", "--json"])
    output.fail(Failed("numbers differs", also=others))
    assert len(json.loads(capsys.readouterr().out)["also"]) == 12


@pytest.mark.slow
def test_a_folder_without_a_contract_is_answered_with_the_one_that_is_taken(project: Project) -> None:
    (project.root / "src").mkdir()
    (project.root / "tools").mkdir()
    (project.root / "tools/pyproject.toml").write_text("")
    taken = f"has no contract.yaml: the project is {project.root}\n"
    for command, where, said in (
        (("history",), "src", taken),
        (("history",), ".", ""),
        (("env", "check"), "tools", taken),
    ):
        found = CliRunner().invoke(app, [*command, "--project", str(project.root / where)])
        assert found.stderr == (f"{project.root / where} {said}" if said else "")
    (project.root / "contract.yaml").unlink()
    alone = CliRunner().invoke(app, ["env", "check", "--project", str(project.root / "tools")])
    assert "the project is" not in alone.stderr, "without a contract, its own requirements make it one"
    inner = project.root / "src/contract.yaml"
    inner.write_text("")
    refused = CliRunner().invoke(app, ["init", str(inner.parent), "--dry-run"])
    assert isinstance(refused.exception, BadInput)
    assert refused.exception.message.startswith("this folder of the repository has a contract.yaml")
