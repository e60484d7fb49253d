"""TST001 and TST002 share one run of pytest, and are judged as if each had its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from beampermit.environments import Environment
from beampermit.interlocks import runner, tests, tests_together
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.pytest_run import Case, Collected, Ran, run_tests
from beampermit.interlocks.tests_together import INTEGRATION, UNIT, can_run_together, part_of
from beampermit.project import Project
from beampermit.verdicts.verdict import Verdict
from support.package_index import tested_template

__all__ = ["tested_template"]

Judge = Callable[..., tuple[dict[str, Verdict], list[list[str]]]]
PASSES = "def test(): pass\n"


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "tests" / name).write_text(text)


@pytest.fixture
def judge(project: Project, tested_template: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """The verdicts on a project with these files below `tests`, and the folders of each run of pytest."""
    shutil.copy(tested_template / "pyproject.toml", project.root)
    runs: list[list[str]] = []

    def counted(project: Project, environment: Environment, folders: Sequence[str], **options: Any) -> Ran:
        runs.append([*folders])
        return run_tests(project, environment, folders, **options)

    for module in (tests, tests_together):
        monkeypatch.setattr(module, "run_tests", counted)

    def run(files: dict[str, str], *ids: str) -> tuple[dict[str, Verdict], list[list[str]]]:
        _write(project.root, files)
        given = Inputs(project=project, environment=Environment(tested_template / ".venv"))
        verdicts = runner.run(select_interlocks(ids or ("TST001", "TST002")), given)
        return {verdict.id: verdict for verdict in verdicts}, runs

    return run


@pytest.mark.slow
def test_both_folders_pass_by_one_run(judge: Judge) -> None:
    verdicts, runs = judge({"unit/test_a.py": PASSES, "integration/test_b.py": PASSES * 2 + "def test_2(): pass\n"})
    assert [verdicts[id].reason for id in ("TST001", "TST002")] == ["1 test passed", "2 tests passed"]
    assert runs == [[UNIT, INTEGRATION]]


@pytest.mark.slow
def test_one_folder_alone_where_the_other_is_not_asked_for(judge: Judge) -> None:
    _, runs = judge({"unit/test_a.py": PASSES, "integration/test_b.py": PASSES}, "TST002")
    assert runs == [[INTEGRATION]]


@pytest.mark.slow
def test_what_fails_is_judged_by_a_run_of_its_own(judge: Judge) -> None:
    verdicts, runs = judge({"unit/test_a.py": "def test(): assert 0, 'tune'\n", "integration/test_b.py": PASSES})
    assert verdicts["TST001"].reason.startswith("tests/unit/test_a.py:1 test: AssertionError: tune")
    assert verdicts["TST002"].reason == "1 test passed"
    assert runs == [[UNIT, INTEGRATION], [UNIT]]


@pytest.mark.slow
def test_a_crash_is_that_of_its_folder(judge: Judge) -> None:
    verdicts, runs = judge({"unit/test_a.py": "import os\ndef test(): os.abort()\n", "integration/test_b.py": PASSES})
    assert verdicts["TST001"].reason.startswith("pytest ended without a report, exit status -6")
    assert verdicts["TST002"].reason == "1 test passed"
    assert runs == [[UNIT, INTEGRATION], [UNIT], [INTEGRATION]]


@pytest.mark.slow
def test_what_one_test_leaves_behind_fails_none_of_the_other_folder(judge: Judge) -> None:
    leaves = "import builtins\ndef test(): builtins.beam = 'dumped'\n"
    sees = "import builtins\ndef test(): assert not hasattr(builtins, 'beam')\n"
    verdicts, runs = judge({"unit/test_a.py": leaves, "integration/test_b.py": sees})
    assert all(verdict.passed for verdict in verdicts.values()), verdicts
    assert runs[1:] == [[INTEGRATION]]


APART = {
    "a folder is missing": {"integration/test_b.py": None},
    "settings of one folder": {"unit/pytest.ini": "[pytest]\n"},
    "a conftest, which may replace a package for all": {"unit/conftest.py": "import pytest\n"},
    "a conftest further below": {"integration/ca/conftest.py": ""},
    "two modules of one name": {"unit/limits.py": "", "integration/deep/limits.py": ""},
    "a package replaced at import": {"unit/test_a.py": "import sys\nsys.modules['epics'] = None\n"},
    "a variable set at import": {"integration/test_b.py": "import os\nif True:\n os.environ['EPICS'] = ''\n"},
    "the same in a class": {"unit/test_a.py": "import os\nclass TestIt:\n os.environ['EPICS'] = ''\n"},
    "a path put in front": {"unit/more.py": "import sys\nsys.path.insert(0, 'lab')\n"},
    "by another name": {"unit/test_a.py": "from os import environ\nenviron['EPICS'] = ''\n"},
    "what is not Python": {"unit/test_a.py": "def test(:\n"},
}
TOGETHER = {
    "plain tests": {},
    "names of folders": {"unit/__init__.py": "", "integration/__init__.py": ""},
    "a conftest of both": {"conftest.py": "import sys\nsys.path.insert(0, 'lab')\n"},
    "a variable of one test": {"unit/test_a.py": "import os\ndef test(monkeypatch): os.environ['EPICS'] = ''\n"},
    "what the project's own tests do": {"integration/test_b.py": "import os\ndef device(): return os.environ['A']\n"},
}


@pytest.mark.parametrize("name", [*APART, *TOGETHER])
def test_folders_that_may_change_each_other_run_apart(tmp_path: Path, name: str) -> None:
    given = {"unit/test_a.py": PASSES, "integration/test_b.py": PASSES} | APART.get(name, TOGETHER.get(name, {}))
    _write(tmp_path, {file: text for file, text in given.items() if text is not None})
    assert can_run_together(tmp_path) is (name in TOGETHER)


def _test(file: str, outcome: str | None = "passed") -> tuple[Collected, list[Case]]:
    id = f"{file}::test"
    place = {"id": id, "file": file, "line": 1, "name": "test"}
    found = Collected(**place, source=file, qualname="test", function=True, watched=True, marks=[])
    case = {**place, "outcome": outcome, "seconds": 0.1, "message": "", "expected": False, "seen": ""}
    return found, [Case.model_validate(case)] if outcome else []


def _ran(*both: tuple[Collected, list[Case]], code: int = 0) -> Ran:
    return Ran([case for _, cases in both for case in cases], [found for found, _ in both], code=code)


def test_exit_status_1_is_about_the_folder_whose_tests_failed() -> None:
    failed, passed = _test("tests/unit/test_a.py", "failed"), _test("tests/integration/test_b.py")
    parts = [part_of(_ran(failed, passed, code=code), folder) for code in (1, 2) for folder in (UNIT, INTEGRATION)]
    assert [part and part.code for part in parts] == [1, 0, 2, 2]
    odd = part_of(_ran(_test("tests/unit/test_a.py"), passed, code=1), UNIT)
    assert odd is not None
    assert odd.code == 1, "a plugin failed the run, and nobody knows for which folder"


def test_what_was_found_and_did_not_run_stays_in_its_part() -> None:
    left_out = _test("tests/unit/test_a.py", None)
    part = part_of(_ran(left_out, _test("tests/integration/test_b.py")), UNIT)
    assert part is not None
    assert ([*part.cases], [test.file for test in part.collected]) == ([], ["tests/unit/test_a.py"])


def test_a_run_that_did_not_come_to_its_end_says_nothing() -> None:
    (found, cases) = _test("tests/integration/test_b.py", "error")
    broken = [cases[0].model_copy(update={"id": found.file, "name": "collection"})]
    assert part_of(_ran(_test("tests/unit/test_a.py"), (found.model_copy(update={"id": "x"}), broken)), UNIT) is None
    assert part_of(Ran(trouble="it took longer than 3 s"), UNIT) is None


def test_a_file_that_skips_itself_is_in_its_part() -> None:
    (found, cases) = _test("tests/integration/test_b.py", "skipped")
    skips = [cases[0].model_copy(update={"id": found.file, "name": "collection"})]
    ran = Ran([*_test("tests/unit/test_a.py")[1], *skips], [_test("tests/unit/test_a.py")[0]], code=0)
    parts = [part_of(ran, folder) for folder in (UNIT, INTEGRATION)]
    assert [[case.file for case in part.cases] for part in parts if part] == [["tests/unit/test_a.py"], [found.file]]
