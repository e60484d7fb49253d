"""What a project's test files hold, read and never run: tests, marks, and names that hide what others import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.contract.software import Tests
from beampermit.environments import Environment
from beampermit.errors import Problem
from beampermit.interlocks.pytest_run import Ran
from beampermit.project import Project
from beampermit.verdicts.verdict import Location

PATTERNS = ("test_*.py", "*_test.py")
NO_TESTS = frozenset(("fixture", "property", "abstractmethod", "overload"))
"""Decorators of functions that pytest does not collect, whatever their name."""
EXCUSES = ("xfail", "expectedFailure")
CUSTOM = frozenset(("sitecustomize", "usercustomize", "pytest", "_pytest", "beampermit_pytest"))
COMMON = frozenset("tests test docs doc examples scripts src benchmarks tools conftest setup build".split())  # noqa: SIM905
"""Names that packages install by mistake beside their own."""


@dataclass(frozen=True)
class Written:
    """One test as it stands in a file. `extended` where other classes of the file inherit it.

    `name` is empty for a file that this Python cannot parse. `plain` where no decorator but a mark stands at it, so
    that what pytest runs is the function itself.
    """

    file: str
    line: int
    name: str
    extended: bool = False
    plain: bool = False

    @property
    def id(self) -> str:
        """As pytest writes it."""
        return f"{self.file}::{self.name.replace('.', '::')}"


def find_marks(root: Path, name: str) -> list[Location]:
    """Where `pytest.mark.<name>` is used below `tests`; nothing is imported."""
    return [
        Location(file=file.relative_to(root).as_posix(), line=node.lineno)
        for file in sorted((root / "tests").rglob("*.py"))
        for node in ast.walk(_parsed(file.read_bytes()) or ast.Module(body=[], type_ignores=[]))
        if isinstance(node, ast.Attribute) and node.attr == name and _is_mark(node.value)
    ]


def _is_mark(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "mark"


def _parsed(content: str | bytes) -> ast.Module | None:
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return None  # pytest reports it better


def find_tests(root: Path, folder: str) -> list[Written]:
    """The tests in the files of a folder, as pytest finds them where no setting says otherwise.

    Left out are those in a condition, which may depend on the machine.
    """
    files = sorted({file for pattern in PATTERNS for file in (root / folder).rglob(pattern)})
    return [
        test
        for file in files
        if file.is_file() and not _hidden(file.relative_to(root))
        for test in written_tests(file.read_bytes(), file.relative_to(root).as_posix())
    ]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def written_tests(content: str | bytes, file: str) -> list[Written]:
    """The tests of one file."""
    module = _parsed(content)
    if module is None:
        return [Written(file, 1, "")]
    bases = {_last_name(base) for node in ast.walk(module) if isinstance(node, ast.ClassDef) for base in node.bases}
    return list(_tests_in(module.body, file, "", bases))


def _tests_in(
    body: Sequence[ast.stmt], file: str, within: str, bases: set[str], *, extended: bool = False, plain: bool = True
) -> Iterator[Written]:
    for node in body:
        if isinstance(node, ast.ClassDef) and _is_test_class(node):
            is_plain = plain and _has_only_marks(node) and not node.keywords
            is_extended = node.name in bases
            yield from _tests_in(node.body, file, f"{within}{node.name}.", bases, extended=is_extended, plain=is_plain)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_test(node):
            yield Written(file, node.lineno, f"{within}{node.name}", extended, plain and _has_only_marks(node))


def _has_only_marks(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Such as `@pytest.mark.slow` and `@mark.parametrize(...)`."""
    called = (mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list)
    return all(isinstance(mark, ast.Attribute) and _last_name(mark.value) == "mark" for mark in called)


def _is_test(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return node.name.startswith("test_") and not NO_TESTS & {_last_name(mark) for mark in node.decorator_list}


def _is_test_class(node: ast.ClassDef) -> bool:
    return node.name.startswith("Test") or any(_last_name(base).endswith("TestCase") for base in node.bases)


def _last_name(node: ast.expr) -> str:
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def unrun(ran: Ran, rules: Tests, *, gpu: bool, gpu_elsewhere: bool) -> list[Problem]:
    """Tests that pytest found and that did not run, or not as their function says.

    `gpu` where those marked so had to run; `gpu_elsewhere` where another machine runs them.
    """
    ends = {case.id: case for case in ran.cases}
    problems = []
    for test in ran.collected:
        case, place = ends.get(test.id), f"{test.file}:{test.line} {test.name}"
        if test.gpu and not gpu and not gpu_elsewhere:
            why = "is marked gpu, but no machine runs it: the contract has no tests.gpu"
        elif test.gpu != gpu or _excused(rules, test.file, test.marks):
            continue
        elif case is None:
            why = f"was found and did not run: {_cause(ran)}"
        elif case.outcome == "skipped" and case.expected and "[NOTRUN]" in case.message:
            why = "does not run (xfail with run=False): mark it with skip and a reason"
        elif case.outcome == "passed" and case.seen:
            why = f"is reported as passed, but {case.seen}: a hook of the project changes results"
        else:
            continue
        problems.append(Problem(f"{place} {why}", test.file, test.line))
    return problems


def _cause(ran: Ran) -> str:
    if not ran.options:
        return "a hook of the project leaves it out"
    where = f", see {ran.settings}" if ran.settings else ""
    return f"pytest's options leave it out ({', '.join(ran.options)}{where})"


def _excused(rules: Tests, file: str, marks: Sequence[str] = ()) -> bool:
    """Whether the base branch's contract lets it be left out, by a mark or a path."""
    return any(
        name in marks or (name.startswith("tests/") and f"{file}/".startswith(f"{name.rstrip('/')}/"))
        for name in rules.left_out
    )


def unfound(ran: Ran, rules: Tests, written: Sequence[Written]) -> list[Problem]:
    """Tests that stand in a file and that pytest did not find."""
    if ran.trouble:
        return []
    functions = [test for test in ran.collected if test.function]
    known = {(test.file, test.name.partition("[")[0].replace("::", ".")) for test in functions}
    known |= {(test.source, test.qualname) for test in functions}
    inherited = {(file, name.rpartition(".")[2]) for file, name in known}
    files = {test.file for test in functions}
    # A file may skip itself, and one that cannot be imported is an error.
    ended = {case.file for case in ran.cases if case.name == "collection"}
    return [
        Problem(
            f"{test.file}:{test.line} {test.name or 'a test'} stands in the file and pytest did not find it"
            f"{f': see {ran.settings} and the conftest.py files' if ran.settings else ''}",
            test.file,
            test.line,
        )
        for test in written
        if test.file not in ended
        and not _excused(rules, test.file)
        and (test.file, test.name) not in known
        and not (test.extended and (test.file, test.name.rpartition(".")[2]) in inherited)
        and not (not test.name and test.file in files)
    ]


def replaced(ran: Ran, rules: Tests, written: Sequence[Written]) -> list[Problem]:
    """Tests under whose names another function runs than the one that stands in the file."""
    runs = {
        (test.file, test.name.partition("[")[0].replace("::", ".")): (test.source, test.qualname)
        for test in ran.collected
        if test.function
    }
    return [
        Problem(
            f"{test.file}:{test.line} {test.name} does not run: the file, or a hook of the project, puts another "
            "function in its place",
            test.file,
            test.line,
        )
        for test in written
        if test.plain
        and not _excused(rules, test.file)
        and runs.get((test.file, test.name)) not in (None, (test.file, test.name))
    ]


def unexpected(ran: Ran, base: BaseTests) -> list[Problem]:
    """Tests that fail, are expected to, and had to pass on the base branch."""
    tests = {test.id: test for test in ran.collected}
    return [
        Problem(
            f"{test.file}:{test.line} {test.name} fails and is now expected to, which it is not on the base branch: "
            "fix it, or mark it with skip and a reason",
            test.file,
            test.line,
        )
        for case in ran.cases
        if case.expected
        and case.outcome == "skipped"
        and (test := tests.get(case.id))
        and base.must_pass(test.file, test.name.partition("[")[0].replace("::", "."))
    ]


@dataclass(frozen=True)
class BaseTests:
    """The tests where the branch began; none without a base."""

    project: Project

    @cached_property
    def _commit(self) -> str | None:
        return BaseAndHead(self.project).merge_base

    def gone(self, folder: str) -> list[str]:
        """Ids of tests in `folder` that no file of the work tree has, here or with the same name in a new place."""
        if self._commit is None:
            return []
        compared = ("diff", "--name-only", "-z", "--no-renames", "--relative", self._commit)
        changed = self.project.git(*compared, "--", folder).split("\0")
        before = [test for file in changed if _is_test_file(file) for test in written_tests(self._read(file), file)]
        after = find_tests(self.project.root, "tests")
        ids = {test.id for test in before}
        moved = {test.name for test in after if test.id not in ids}
        return sorted(ids - {test.id for test in after} - {test.id for test in before if test.name in moved})

    def must_pass(self, file: str, name: str) -> bool:
        """Whether the base has this test, and nothing in its file or a conftest says that a test may fail."""
        text = self._read(file)
        if not any(test.name == name for test in written_tests(text, file)):
            return False
        return not any(excuse in content for excuse in EXCUSES for content in (text, *self._conftests))

    @cached_property
    def _conftests(self) -> tuple[str, ...]:
        names = self.project.git.files_at(self._commit or "HEAD")
        return tuple(self._read(name) for name in names if name.rpartition("/")[2] == "conftest.py")

    def _read(self, file: str) -> str:
        return (self.project.git.read(self._commit, file) if self._commit else None) or ""


def _is_test_file(file: str) -> bool:
    return any(PurePosixPath(file).match(pattern) for pattern in PATTERNS)


def shadows(root: Path, environment: Environment) -> list[str]:
    """Files and folders that would be imported in place of Python's own modules or a package of the environment."""
    names = CUSTOM | sys.stdlib_module_names | set(_installed(environment)) - COMMON
    return sorted(
        path.relative_to(root).as_posix()
        for folder in {root, root / "src", *_roots_of_tests(root)}
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix == ".pth" or (path.name.partition(".")[0] in names - {"test"} and _is_module(path))
    )


def _installed(environment: Environment) -> Iterator[str]:
    for site in environment.prefix.glob("lib/python*/site-packages"):
        yield from (path.name.partition(".")[0] for path in site.iterdir() if _is_module(path))


def _is_module(path: Path) -> bool:
    if path.is_dir():
        return any((path / f"__init__{suffix}").is_file() for suffix in (".py", ".pyc"))
    return path.suffix in (".py", ".pyc", ".so", ".pyd")


def _roots_of_tests(root: Path) -> set[Path]:
    """Folders that pytest puts on the path: of each file that it imports, the first above without `__init__.py`."""
    tests = root / "tests"
    files = (file for name in ("conftest.py", *PATTERNS) for file in tests.rglob(name))
    return {tests, *(_first_without_init(file.parent, root) for file in files if not _hidden(file.relative_to(root)))}


def _first_without_init(folder: Path, root: Path) -> Path:
    while (folder / "__init__.py").is_file() and folder != root:
        folder = folder.parent
    return folder
