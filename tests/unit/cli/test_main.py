"""The command starts quickly, and an error is one line with its exit code."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from beampermit.cli import main
from beampermit.errors import BadInput
from beampermit.git import Git
from beampermit.project import Project
from support import forked_commands

pytestmark = pytest.mark.slow

HEAVY = (
    "cookiecutter",
    "duckdb",
    "dvc",
    "httpx",
    "jinja2",
    "matplotlib",
    "mlflow",
    "numpy",
    "pydantic",
    "rich.console",
)


def beampermit(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "beampermit", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_help_imports_nothing_heavy() -> None:
    code = f"import sys, beampermit.cli.main as _; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_help_names_the_exit_codes() -> None:
    assert "1 failed" in beampermit("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["check", "beam"], 2, "there is no interlock or family 'beam'"),
        (["contract", "check", "nowhere.yaml"], 2, "nowhere.yaml: there is no contract"),
        (["no-such-verb"], 2, "No such command"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    Git(tmp_path)("init", "--quiet")
    result = beampermit(*arguments, cwd=tmp_path)
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    forked = forked_commands.beampermit(*arguments, cwd=tmp_path)
    assert (forked.returncode, forked.stdout) == (code, result.stdout), "other tests start forks"
    assert forked.stderr.splitlines()[-1] == result.stderr.splitlines()[-1]


def test_an_error_is_json_where_json_was_asked_for(project: Project) -> None:
    (project.root / "contract.yaml").write_text("beampermit: 1\nmodell: {}\n")
    result = forked_commands.beampermit("contract", "check", "--json", cwd=project.root)
    assert result.returncode == 2
    error = json.loads(result.stdout)
    assert (error["line"], error["exit_code"]) == (2, 2)
    assert "did you mean 'model'?" in error["error"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_an_error_of_the_file_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    def refuse() -> None:
        raise OSError(code, os.strerror(code), "/lab/conda-lock.yml")

    monkeypatch.setattr(main, "app", refuse)
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 4
    assert capsys.readouterr().err.startswith(f"beampermit: /lab/conda-lock.yml: {os.strerror(code).lower()}\n")


def test_an_interrupt_says_that_files_are_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    app = typer.Typer()
    app.command()(interrupted)
    monkeypatch.setattr(main, "app", app)
    monkeypatch.setattr(sys, "argv", ["beampermit"])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 130
    assert "interrupted; no file is left half-written" in capsys.readouterr().err


def test_an_interrupt_while_the_command_is_imported_is_one_line() -> None:
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'typer':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from beampermit.__main__ import run\n"
        "run()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (130, "beampermit: interrupted\n")


def test_a_bug_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "app", lambda: Path("/nowhere").read_text())
    with pytest.raises(FileNotFoundError):
        main.run()


@pytest.mark.parametrize("place", ["nowhere", "a-file"])
@pytest.mark.parametrize("verb", ["check", "pull", "request", "card", "labels", "staged"])
def test_a_project_that_is_no_folder_is_bad_input(tmp_path: Path, verb: str, place: str) -> None:
    (tmp_path / "a-file").touch()
    result = CliRunner().invoke(main.app, ["data", verb, "--project", str(tmp_path / place), "--json"])
    assert isinstance(result.exception, BadInput)
    assert str(result.exception) == f"{tmp_path / place}: there is no such folder"
    assert result.exception.hint == f"ls {tmp_path}"


def test_a_contract_can_be_checked_and_its_schema_accepts_it(project: Project) -> None:
    import jsonschema
    from ruamel.yaml import YAML

    assert "contract of bpm-faults" in forked_commands.beampermit("contract", "check", cwd=project.root).stdout
    schema = json.loads(forked_commands.beampermit("contract", "schema", cwd=project.root).stdout)
    content = YAML(typ="safe").load((project.root / "contract.yaml").read_text())
    content["model"]["review_by"] = content["model"]["review_by"].isoformat()
    jsonschema.validate(content, schema)
    content["model"]["sumary"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="sumary"):
        jsonschema.validate(content, schema)


def test_interlocks_are_listed_with_their_titles(tmp_path: Path) -> None:
    listed = forked_commands.beampermit("check", "--list", cwd=tmp_path).stdout
    assert "DOC001  The model has at least two owners" in listed
