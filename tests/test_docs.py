"""Pages that are made from the code are the ones the code makes, and the README's commands exist."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from beampermit.cli.main import app
from beampermit.contract.reference import contract_reference
from beampermit.interlocks.families import load_interlocks
from beampermit.interlocks.reference import interlock_reference

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_page_on_the_contract_is_what_the_models_say() -> None:
    made = contract_reference()
    assert (ROOT / "docs/contract.md").read_text() == made, "beampermit contract reference > docs/contract.md"


def test_the_page_on_interlocks_is_what_the_classes_say() -> None:
    made = interlock_reference(load_interlocks().values())
    assert (ROOT / "docs/interlocks.md").read_text() == made, (
        "beampermit check --list --format markdown > docs/interlocks.md"
    )


@pytest.mark.slow
def test_the_page_on_attacks_is_what_the_tests_try() -> None:
    made = subprocess.run([sys.executable, ROOT / "scripts/attacks.py"], capture_output=True, text=True, check=True)
    assert (ROOT / "docs/attacks.md").read_text() == made.stdout, "python scripts/attacks.py > docs/attacks.md"


@pytest.mark.slow
def test_the_page_on_what_the_service_shows_is_what_the_tests_assert() -> None:
    made = subprocess.run([sys.executable, ROOT / "scripts/truth.py"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert (ROOT / "docs/truth.md").read_text() == made.stdout, "python scripts/truth.py > docs/truth.md"


@pytest.mark.slow
def test_a_row_of_that_page_names_its_tests_and_a_mark_elsewhere_is_refused(tmp_path: Path) -> None:
    tests_by_situation = runpy.run_path(str(ROOT / "scripts/truth.py"))["tests_by_situation"]
    file = tmp_path / "unit/live/epics/test_inputs.py"
    file.parent.mkdir(parents=True)
    marked = '@pytest.mark.truth("nan")\ndef test_a(): ...\n'
    marked += '@cases([truth_case("nan", 1, measured=True)])\ndef test_b(): ...\n'
    file.write_text(marked)
    found = {"nan": [("epics/test_inputs.py::test_a", False), ("epics/test_inputs.py::test_b", True)]}
    assert tests_by_situation(tmp_path) == found
    file.write_text(f'{marked}CASES = [truth_case("nan", 2)]\n')
    with pytest.raises(SystemExit, match=r"test_inputs\.py, line 5: this mark is not in a decorator of a test"):
        tests_by_situation(tmp_path)


def test_every_link_in_the_documents_leads_to_a_file() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
            inside = (page.parent / target).resolve().is_relative_to(ROOT.resolve())
            assert inside, f"{page.relative_to(ROOT)} links to {target}, which is outside the repository"


FILE_OR_FOLDER = re.compile(r"`((?:src|tests|docs|template|actions|\.github)/[^`*<\s]*|[\w/]+\.py)`")


@pytest.mark.slow
def test_every_file_that_contributors_are_sent_to_exists() -> None:
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "AGENTS.md", ROOT / "docs/architecture.md"):
        for name in FILE_OR_FOLDER.findall(page.read_text()):
            there = [ROOT / name, ROOT / "src/beampermit" / name, *(ROOT / "src/beampermit").glob(f"*/**/{name}")]
            there += (ROOT / "template").glob(f"**/{name}")
            assert any(path.exists() for path in there), f"{page.name} names {name}"


def test_the_page_on_architecture_has_each_room_and_no_other() -> None:
    rows = re.findall(r"(?m)^\| ((?:`[\w/.]+` ?)+)\|", (ROOT / "docs/architecture.md").read_text())
    named = {name for row in rows for name in re.findall(r"`([\w/.]+)`", row) if name.endswith(("/", ".py"))}
    package = ROOT / "src/beampermit"
    rooms = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    files = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    assert named == rooms | files


def test_no_file_of_the_package_has_more_than_400_lines() -> None:
    lines = {path: path.read_text().count("\n") for path in (ROOT / "src").rglob("*.py")}
    assert {path: number for path, number in lines.items() if number > 400} == {}


PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "template/{{cookiecutter.project_slug}}").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_that_a_document_names_exists(page: Path) -> None:
    for line in _commands(page.read_text()):
        words, command = line.split(), _COMMAND
        while words and hasattr(command, "commands"):
            assert words[0] in command.commands, f"there is no beampermit {line}"
            command = command.commands[words.pop(0)]
        known = {"--help"} | {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        named = {word.partition("=")[0] for word in _own(words) if word.startswith("-")}
        assert named <= known, f"beampermit {line}: {sorted(named - known)} is not an option of it"


_COMMAND: Any = get_command(app)


def _commands(text: str) -> list[str]:
    """What stands behind `beampermit` wherever a page shows code, without comments and what is piped on."""
    shown = re.findall(r"```(?:console|sh|bash)\n(.*?)```|`([^`\n]+)`", text, re.DOTALL)
    code = "\n".join(block or span for block, span in shown)
    return re.findall(r"(?m)(?:^|[\s$&(])beampermit ([a-z][^\n#|&>]*)", code)


def _own(words: list[str]) -> list[str]:
    """Words up to `--`: behind it stands another program's line."""
    return words[: words.index("--")] if "--" in words else words
