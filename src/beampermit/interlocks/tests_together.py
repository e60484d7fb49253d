"""Unit and integration tests in one run of pytest: what both import takes seconds, and is imported once.

Only where neither folder changes what the other one sees. What does not pass is run again with its folder alone, and
judged by that run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from beampermit.datasets.repository import is_below
from beampermit.environments import Environment
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.pytest_run import Case, Ran, run_tests
from beampermit.project import Project

UNIT, INTEGRATION = "tests/unit", "tests/integration"
FOLDERS = (UNIT, INTEGRATION)
BOTH = frozenset({"TST001", "TST002"})
SETTINGS = (".cfg", ".ini", ".toml")
"""Files that pytest reads its settings from have these endings; it looks for them from its arguments upwards."""
SHARED = {"os": ("chdir", "environ", "putenv", "unsetenv"), "sys": ("meta_path", "modules", "path", "path_hooks")}
"""What a module can change for all that are imported after it."""


@dataclass(frozen=True)
class TestRuns:
    """The one run of both folders, which is made when the first of them is judged."""

    project: Project
    environment: Environment
    asked: frozenset[str]

    def part(self, folder: str) -> Ran | None:
        """How the tests of `folder` ended in it; None where it says nothing of them."""
        return part_of(self._both, folder) if self._both else None

    @cached_property
    def _both(self) -> Ran | None:
        wanted = self.asked >= BOTH and can_run_together(self.project.root)
        return run_tests(self.project, self.environment, FOLDERS) if wanted else None


@provides
def test_runs(project: Project, environment: Environment, asked: frozenset[str]) -> TestRuns:
    """The unit and the integration tests in one run of pytest, where both are asked for and neither can tell."""
    return TestRuns(project, environment, asked)


def part_of(ran: Ran, folder: str) -> Ran | None:
    """What a run of both folders says of one; None where pytest did not come to its end, or could not read a file."""
    places = {test.id: test.file for test in ran.collected}
    # A file that skips itself is not a test.
    places |= {case.id: case.file for case in ran.cases if case.id not in places and case.outcome == "skipped"}
    if ran.trouble or any(case.id not in places for case in ran.cases):
        return None
    here, elsewhere = _divided(ran.cases, places, folder)
    # Exit status 1 says that tests failed. Where none of the other folder did, it is about this one.
    fails_elsewhere = any(case.outcome in ("failed", "error") for case in elsewhere)
    return replace(
        ran,
        cases=here,
        collected=[test for test in ran.collected if is_below(test.file, folder)],
        code=0 if ran.code == 1 and fails_elsewhere else ran.code,
    )


def _divided(cases: Sequence[Case], places: dict[str, str], folder: str) -> tuple[list[Case], list[Case]]:
    here, elsewhere = list[Case](), list[Case]()
    for case in cases:
        (here if is_below(places[case.id], folder) else elsewhere).append(case)
    return here, elsewhere


def can_run_together(root: Path) -> bool:
    """Whether the modules of neither folder change what those of the other one find, as far as their text says.

    A conftest may replace a package for all tests of the run, and of two modules with one name the first is imported.
    """
    folders = [root / folder for folder in FOLDERS]
    if not all(folder.is_dir() for folder in folders):
        return False
    if any(file.suffix in SETTINGS for folder in folders for file in folder.iterdir()):
        return False
    unit, integration = ({file.stem for file in folder.rglob("*.py")} - {"__init__"} for folder in folders)
    if unit & integration or "conftest" in unit | integration:
        return False
    return not any(_changes_what_others_see(file.read_bytes()) for folder in folders for file in folder.rglob("*.py"))


def _changes_what_others_see(content: bytes) -> bool:
    """Whether the code that runs when this file is imported has anything to do with what all modules share."""
    try:
        module = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return True
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.attr in SHARED.get(node.value.id, ())
        for statement in module.body
        for node in _at_import(statement)
    ) or any(
        isinstance(node, ast.ImportFrom)
        and node.module in SHARED
        and {name.name for name in node.names} & {*SHARED[node.module]}
        for node in ast.walk(module)
    )


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """A node and those below it, without the bodies of functions."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    for child in ast.iter_child_nodes(node):
        yield from _at_import(child)
