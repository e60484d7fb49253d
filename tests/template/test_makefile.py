"""The Makefile of a generated project runs nothing outside the locked environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from beampermit.template import template_folder

MAKEFILE = template_folder() / "{{cookiecutter.project_slug}}/Makefile"


@pytest.mark.parametrize("target", ["reproduce", "unit", "push"])
def test_without_an_environment_no_other_python_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    (tmp_path / "Makefile").write_text(MAKEFILE.read_text().replace("{{ cookiecutter.package_name }}", "package"))
    other, own = tmp_path / "other", tmp_path / ".venv/bin"
    for folder, word in ((other, "another"), (own, "the locked")):
        folder.mkdir(parents=True)
        for program in ("dvc", "pytest", "python"):
            (folder / program).write_text(f"#!/bin/sh\necho {word} {program}\n")
            (folder / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(other), prepend=":")
    monkeypatch.delenv("BEAMPERMIT_ENVIRONMENT", raising=False)

    def make() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", target], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "the locked" in make().stdout
    (own / "python").unlink()
    without = make()
    assert without.returncode == 2
    assert "There is no environment in .venv. Run: beampermit env install" in without.stderr
    assert "another" not in without.stdout


@pytest.mark.parametrize(("words", "said"), [([], "50"), (["TRIALS=7"], "7")])
def test_tune_is_the_checkers_command(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "Makefile").write_text(MAKEFILE.read_text())
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    make = ["make", "--no-print-directory", "-n", "tune", *words]
    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"beampermit trials run --trials {said}\n"
