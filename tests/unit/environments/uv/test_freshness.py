"""Each way in which a lock can be stale or tampered with is found without uv, and named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from beampermit.environments.uv import Uv
from beampermit.project import Project
from support.package_index import uv

ASKED = {
    "a package more": (
        '"local-part",',
        '"local-part",\n  "colours",',
        "colours is asked for and the lock does not know",
    ),
    "a package less": ('  "local-part",\n', "", "the lock was made for local-part, which is no longer asked for"),
    "another version": (
        "numbers>=1,<2",
        "numbers>=1.5,<2",
        "numbers<2,>=1.5 is asked for and the lock does not know it",
    ),
    "another extra": ("plotter[fancy]", "plotter", "plotter>=1 is asked for and the lock does not know it"),
    "another marker": (
        "sys_platform == 'win32'",
        "sys_platform == 'darwin'",
        'winter; sys_platform == "darwin" is asked',
    ),
    "another Python of a marker": ("python_version > '3.10'", "python_version > '3.11'", "cudart>=1; (python_version"),
    "another group": ('"checker>=1"', '"checker>=2"', "checker>=2 is asked for and the lock does not know it"),
    "a group that another includes": ('lint = ["linter"]', 'lint = ["linter>=1"]', "linter>=1 is asked for"),
    "a new group": ("lint = [", 'docs = ["linter"]\nlint = [', "the lock does not know the group 'docs'"),
    "a new extra": ("cuda = [", "rocm = []\ncuda = [", "the lock does not know the extra 'rocm'"),
    "an extra less": ("cuda = [\"cudart>=1; python_version > '3.10'\"]", "", "the lock has the extra 'cuda'"),
    "another Python": ('requires-python = "', 'requires-python = ">=3.11.5,', "the lock was made for Python"),
    "another version of the project": (
        'version = "0.1.0"',
        'version = "0.2.0"',
        "version 0.1.0 of the project, now 0.2.0",
    ),
    "another name of the project": ('name = "bpm-faults"', 'name = "bpm"', "the lock was made for bpm-faults"),
    "another constraint": (
        "colours<9",
        "colours<8",
        "constraint-dependencies has colours<8, and the lock was made without",
    ),
    "an override": ("package = false", 'package = false\noverride-dependencies = ["numbers<1"]', "has numbers<1"),
    "another resolution": ("package = false", 'package = false\nresolution = "lowest"', "resolution is 'lowest'"),
    "pre-releases": ("package = false", 'package = false\nprerelease = "allow"', "prerelease is 'allow'"),
    "a date": ("package = false", 'package = false\nexclude-newer = "2026-01-01"', "exclude-newer is 2026-01-01"),
    "platforms": (
        "package = false",
        "package = false\nenvironments = [\"sys_platform == 'linux'\"]",
        "[tool.uv] environments is not what the lock was made for",
    ),
    "a setting that only a solver can judge": (
        "package = false",
        'package = false\nexclude-dependencies = ["colours"]',
        "exclude-dependencies cannot be judged without a solver",
    ),
    "a source that is no index": (
        "[[tool.uv.index]]",
        '[tool.uv.sources]\nnumbers = {git = "https://git.lab.example/numbers"}\n[[tool.uv.index]]',
        "numbers<2,>=1 from [tool.uv.sources] numbers is asked for",
    ),
}
LOCKED = {
    "an edited version": (
        'name = "numbers"\nversion = "1.0"',
        'name = "numbers"\nversion = "2.5"',
        "and numbers 2.5 is locked",
    ),
    "a version under its constraint": (
        'name = "colours"\nversion = "1.0"',
        'name = "colours"\nversion = "9.0"',
        "colours<9 is asked for everywhere and colours 9.0 is locked",
    ),
    "a package taken out": (
        r'\[\[package\]\]\nname = "colours".*?\n\n',
        "",
        "colours is not in the lock; plotter 1.0 needs it",
    ),
    "a package put in": (
        r'\[\[package\]\]\nname = "numbers"',
        '[[package]]\nname = "miner"\nversion = "1.0"\nsource = { registry = "wheels" }\n\n'
        '[[package]]\nname = "numbers"',
        "miner 1.0 is in the lock and nothing needs it",
    ),
    "a need of the project taken out": (
        r'    \{ name = "local-part" \},\n',
        "",
        "local-part is asked for and the lock gives the project no local-part",
    ),
    "a need of the project put in": (
        r'    \{ name = "local-part" \},\n',
        '    { name = "local-part" },\n    { name = "linter" },\n',
        "the lock gives the project linter, which it does not ask for",
    ),
    "a need of a group taken out": (
        r'lint = \[\n    \{ name = "linter" \},\n\]',
        "lint = []",
        "linter is asked for and the lock gives the project no linter",
    ),
    "a group put in": (
        r"\[package.dev-dependencies\]\n",
        '[package.dev-dependencies]\nbad = [\n    { name = "linter" },\n]\n',
        "the lock gives the project linter, which it does not ask for",
    ),
    "an extra taken from a need": (
        r'\{ name = "plotter", extra = \["fancy"\] \}',
        '{ name = "plotter" }',
        "the lock gives no plotter[fancy]",
    ),
    "a marker put on a need": (
        r'\{ name = "numbers" \}',
        '{ name = "numbers", marker = "sys_platform == \'win32\'" }',
        "numbers<2,>=1 is asked for and the lock gives the project no numbers",
    ),
    "the project taken out": (
        r'source = \{ virtual = "\." \}',
        'source = { virtual = "elsewhere" }',
        "no entry for the project",
    ),
}


def test_the_lock_as_it_was_made_is_fresh(uv_project: Project) -> None:
    assert problems(uv_project.root) == []


def test_line_ends_of_another_system_change_nothing(uv_project: Project) -> None:
    before = Uv().read(uv_project.root)
    for name in ("uv.lock", "pyproject.toml"):
        file = uv_project.root / name
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert problems(uv_project.root) == []
    assert Uv().read(uv_project.root).digest == before.digest


@pytest.mark.parametrize("change", ASKED)
def test_a_change_of_what_is_asked_for_makes_the_lock_stale(uv_project: Project, change: str) -> None:
    before, after, message = ASKED[change]
    file = uv_project.root / "pyproject.toml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    found = problems(uv_project.root)
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize("defect", LOCKED)
def test_a_lock_edited_by_hand_is_no_solution(uv_project: Project, defect: str) -> None:
    pattern, replacement, message = LOCKED[defect]
    file = uv_project.root / "uv.lock"
    text = file.read_text()
    edited = re.sub(pattern, lambda _: replacement, text, count=1, flags=re.DOTALL)
    assert edited != text
    file.write_text(edited)
    found = problems(uv_project.root)
    assert any(message in problem for problem in found), found


@pytest.mark.parametrize(
    "change", [change for change in ASKED if change not in ("another marker", "a source that is no index")]
)
def test_uv_calls_stale_what_we_call_stale(uv_project: Project, change: str) -> None:
    before, after, _ = ASKED[change]
    file = uv_project.root / "pyproject.toml"
    file.write_text(file.read_text().replace(before, after, 1))
    assert uv(uv_project.root, "lock", "--check", "--offline").returncode != 0


EQUIVALENT = {
    "a marker in other words": ("sys_platform == 'win32'", "platform_system == 'Windows'"),
    "a specifier in another order": ("numbers>=1,<2", "numbers <2, >=1.0"),
    "a name in other letters": ('"local-part"', '"Local_Part"'),
    "a Python that uv does not write down": ('requires-python = "', 'requires-python = "!=3.11.3,'),
    "a setting that no solution depends on": ("package = false", 'package = false\nlink-mode = "copy"'),
}


@pytest.mark.parametrize("change", EQUIVALENT)
def test_the_same_in_other_words_is_fresh_to_uv_and_to_us(uv_project: Project, change: str) -> None:
    before, after = EQUIVALENT[change]
    file = uv_project.root / "pyproject.toml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after, 1))
    assert problems(uv_project.root) == []
    assert uv(uv_project.root, "lock", "--check", "--offline").returncode == 0


def problems(root: Path) -> list[str]:
    backend = Uv()
    return [problem.message for problem in backend.stale(backend.specification(root), backend.read(root))]
