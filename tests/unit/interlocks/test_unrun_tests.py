"""A test that stands in a file runs, and its result is what its function did: nothing of the project says otherwise."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.environments import Environment
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.written_tests import shadows, written_tests
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.attacks import attack_case
from support.package_index import tested_template

pytestmark = pytest.mark.slow

__all__ = ["tested_template"]

Judge = Callable[..., Verdict]
Git = Callable[..., str]
TESTS = "tests/unit/test_it.py"
TWO = "def test_a(): pass\ndef test_b(): pass\n"
ONE_FAILS = "def test_a(): pass\ndef test_b(): assert 0\n"
FORGED = '{"word": "", "cases": [], "collected": [], "options": [], "settings": "", "gpu_peak": 0}'  # as the plugin's


@pytest.fixture
def judge(project: Project, tested_template: Path) -> Judge:
    """Judge `tests/unit` of a project with these files: `judge({"tests/unit/test_it.py": "def test(): ..."})`."""
    shutil.copy(tested_template / "pyproject.toml", project.root)

    def run(files: dict[str, str], base: str | None = None, environment: Path | None = None) -> Verdict:
        _write(project.root, files)
        given = Inputs(
            project=Project(project.root, base), environment=Environment(environment or tested_template / ".venv")
        )
        (verdict,) = runner.run(select_interlocks(["TST001"]), given)
        return verdict

    return run


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


ATTACKS = [
    attack_case(
        {TESTS: ONE_FAILS, "conftest.py": "def pytest_collection_modifyitems(items): del items[1:]\n"},
        guard="TST001",
        tried="a conftest keeps one test of all",
        said="test_b was found and did not run: a hook of the project leaves it out",
        id="a hook keeps one",
    ),
    attack_case(
        {TESTS: ONE_FAILS, "pytest.ini": "[pytest]\naddopts = --deselect tests/unit/test_it.py::test_b\n"},
        guard="TST001",
        tried="--deselect in pytest.ini",
        said="did not run: pytest's options leave it out (deselect ['tests/unit/test_it.py::test_b'], see pytest.ini)",
        id="deselected",
    ),
    attack_case(
        {TESTS: ONE_FAILS, "pytest.ini": "[pytest]\naddopts = -k test_a\n"},
        guard="TST001",
        tried="-k in pytest.ini",
        said="pytest's options leave it out (keyword test_a, see pytest.ini)",
        id="-k",
    ),
    attack_case(
        {
            TESTS: TWO,
            "tests/unit/test_more.py": "def test_c(): assert 0\n",
            "tests/unit/conftest.py": "",
            "tox.ini": "",
            "pytest.ini": "[pytest]\naddopts = --ignore tests/unit/test_more.py\n",
        },
        guard="TST001",
        tried="--ignore in pytest.ini",
        said="tests/unit/test_more.py:1 test_c stands in the file and pytest did not find it: see pytest.ini",
        id="ignored",
    ),
    attack_case(
        {
            TESTS: TWO,
            "tests/unit/test_more.py": "def test_c(): assert 0\n",
            "tests/unit/conftest.py": "collect_ignore = ['test_more.py']\n",
        },
        guard="TST001",
        tried="collect_ignore in a conftest",
        said="tests/unit/test_more.py:1 test_c stands in the file and pytest did not find it",
        id="collect_ignore",
    ),
    attack_case(
        {TESTS: ONE_FAILS, "pytest.ini": "[pytest]\npython_functions = test_a\n"},
        guard="TST001",
        tried="python_functions in pytest.ini names one test",
        said="tests/unit/test_it.py:2 test_b stands in the file and pytest did not find it",
        id="python_functions",
    ),
    attack_case(
        {TESTS: "def test_a(): pass\nclass TestAll:\n    __test__ = False\n    def test_b(self): assert 0\n"},
        guard="TST001",
        tried="__test__ = False in a class of tests",
        said="tests/unit/test_it.py:4 TestAll.test_b stands in the file and pytest did not find it",
        id="__test__",
    ),
    attack_case(
        {
            TESTS: ONE_FAILS,
            "conftest.py": "import pytest\ndef pytest_runtest_teardown(item): pytest.exit('enough', 0)\n",
        },
        guard="TST001",
        tried="a hook ends pytest with exit status 0 after the first test",
        said="test_b was found and did not run: a hook of the project leaves it out",
        id="an early end",
    ),
    attack_case(
        {TESTS: TWO, "pytest.ini": "[pytest]\naddopts = --setup-plan\n"},
        guard="TST001",
        tried="--setup-plan in pytest.ini",
        said="no tests ran in tests/unit",
        id="--setup-plan",
    ),
    attack_case(
        {TESTS: ONE_FAILS, "pytest.ini": "[pytest]\naddopts = -p no:beampermit_pytest\n"},
        guard="TST001",
        tried="pytest.ini switches the plugin of the checker off",
        said="tests/unit/test_it.py:2 test_b: assert 0",
        id="no plugin",
    ),
    attack_case(
        {TESTS: "import pytest\npytestmark = pytest.mark.xfail(reason='later')\n" + ONE_FAILS},
        guard="TST001",
        tried="all tests are marked xfail",
        said="all tests in tests/unit were expected to fail or skipped (2)",
        id="xfail on all",
    ),
    attack_case(
        {TESTS: "import pytest\ndef test_a(): pass\n@pytest.mark.xfail(run=False)\ndef test_b(): assert 0\n"},
        guard="TST001",
        tried="a test is marked xfail(run=False)",
        said="test_b does not run (xfail with run=False): mark it with skip and a reason",
        id="xfail that does not run",
    ),
    attack_case(
        {
            TESTS: ONE_FAILS,
            "conftest.py": "import pytest\n@pytest.hookimpl(hookwrapper=True)\n"
            "def pytest_runtest_makereport():\n    made = yield\n    made.get_result().outcome = 'passed'\n",
        },
        guard="TST001",
        tried="a hook makes every report a passed one",
        said="test_b is reported as passed, but it raised AssertionError: assert 0",
        id="a hook rewrites reports",
    ),
    attack_case(
        {
            TESTS: ONE_FAILS,
            "conftest.py": "import pytest\n@pytest.hookimpl(tryfirst=True)\n"
            "def pytest_runtest_logreport(report): report.outcome = 'passed'\n",
        },
        guard="TST001",
        tried="a hook changes every report before it is counted",
        said="test_b is reported as passed, but it raised AssertionError: assert 0",
        id="a hook rewrites reports later",
    ),
    attack_case(
        {TESTS: ONE_FAILS, "conftest.py": "def pytest_pyfunc_call(pyfuncitem): return True\n"},
        guard="TST001",
        tried="a hook says that it has called the test, and has not",
        said="is reported as passed, but its function was not called: a hook of the project changes results",
        id="no function is called",
    ),
    attack_case(
        {
            TESTS: ONE_FAILS,
            "conftest.py": "def pytest_collection_modifyitems(items):\n"
            "    for item in items: item.obj = lambda: None\n",
        },
        guard="TST001",
        tried="a hook puts empty functions in place of the tests",
        said="is reported as passed, but its function was not called: a hook of the project changes results",
        id="other functions",
    ),
    attack_case(
        {
            TESTS: ONE_FAILS,
            "conftest.py": "import pytest\n@pytest.hookimpl(tryfirst=True)\n"
            "def pytest_itemcollected(item): item.obj = lambda: None\n",
        },
        guard="TST001",
        tried="a hook puts empty functions in place of the tests as soon as they are collected",
        said="is reported as passed, but its function was not called: a hook of the project changes results",
        id="other functions at once",
    ),
    attack_case(
        {
            TESTS: ONE_FAILS,
            "conftest.py": "import pytest\ndef pytest_pycollect_makeitem(collector, name, obj):\n"
            "    if name.startswith('test_'):\n"
            "        return [pytest.Function.from_parent(collector, name=name, callobj=lambda: None)]\n",
        },
        guard="TST001",
        tried="a hook makes the tests of other functions than stand in the file",
        said="test_a does not run: the file, or a hook of the project, puts another function in its place",
        id="tests of other functions",
    ),
    attack_case(
        {TESTS: f"{ONE_FAILS}for name in ('test_a', 'test_b'): globals()[name] = lambda: None\n"},
        guard="TST001",
        tried="the last line of a test file puts empty functions in place of its tests",
        said="test_a does not run: the file, or a hook of the project, puts another function in its place",
        id="other functions by the file",
    ),
    attack_case(
        {
            TESTS: ONE_FAILS,
            "conftest.py": "def pytest_runtest_setup(item):\n"
            "    vars(item.module)[item.name].__code__ = (lambda: None).__code__\n",
        },
        guard="TST001",
        tried="a hook empties the functions of the tests before they are called",
        said="is reported as passed, but its function was changed: a hook of the project changes results",
        id="emptied functions",
    ),
    attack_case(
        {
            TESTS: "import unittest\nclass Pulse(unittest.TestCase):\n    def test_b(self): self.fail('low')\n",
            "conftest.py": "import pytest\n@pytest.hookimpl(hookwrapper=True)\n"
            "def pytest_runtest_makereport():\n    made = yield\n    made.get_result().outcome = 'passed'\n",
        },
        guard="TST001",
        tried="a hook makes the report of a unittest.TestCase a passed one",
        said="is reported as passed, but it raised AssertionError: low",
        id="a unittest whose report is rewritten",
    ),
    attack_case(
        {
            TESTS: ONE_FAILS,
            "conftest.py": "import os\nfor name in os.listdir('/proc/self/fd'):\n"
            f"    if int(name) > 2:\n        try: os.write(int(name), {FORGED.encode()!r})\n"
            "        except OSError: pass\n"
            "os._exit(0)\n",
        },
        guard="TST001",
        tried="a conftest writes its own report into every open file and ends the process with status 0",
        said="something else than Beampermit wrote the report of pytest",
        id="a report by the project",
    ),
    attack_case(
        {TESTS: "from pytest import mark as m\ndef test_a(): pass\n@m.gpu\ndef test_b(): assert 0\n"},
        guard="TST001",
        tried="a test is marked gpu by another name, so that no machine runs it",
        said="test_b is marked gpu, but no machine runs it: the contract has no tests.gpu",
        id="gpu by another name",
    ),
    attack_case(
        {TESTS: TWO, "conftest.py": "def pytest_sessionfinish(session): session.exitstatus = 3\n"},
        guard="TST001",
        tried="all tests pass and a plugin says that the run failed",
        said="pytest ended with exit status 3",
        id="an exit status",
    ),
    attack_case(
        {
            TESTS: ONE_FAILS,
            "src/sitecustomize.py": "import sys\nprint('63 passed')\nsys.exit(0)\n",
        },
        guard="TST001",
        tried="src/sitecustomize.py says '63 passed' and ends Python before pytest begins",
        said="src/sitecustomize.py would be imported in place of Python's own or of a package of the lock",
        id="sitecustomize",
    ),
    attack_case(
        {TESTS: ONE_FAILS, "src/pytest/__init__.py": "", "src/pytest/__main__.py": "print('63 passed')\n"},
        guard="TST001",
        tried="the project has a package named pytest",
        said="src/pytest would be imported in place of",
        id="a module pytest",
    ),
]


@pytest.mark.plants("TST001")
@pytest.mark.parametrize("files", ATTACKS)
def test_a_test_that_does_not_run_or_whose_result_is_changed_fails(
    judge: Judge, files: dict[str, str], said: str
) -> None:
    verdict = judge({"pytest.ini": "[pytest]\nmarkers = gpu\n", **files})
    assert verdict.outcome is Outcome.FAILED, verdict
    assert said in verdict.reason
    assert verdict.locations


ODD = {
    "tests/unit/test_odd.py": """
import functools, unittest
import pytest

def logged(function):
    def call(): return function()
    return call

def kept(function):
    @functools.wraps(function)
    def call(*arguments, **named): return function(*arguments, **named)
    return call

@pytest.fixture
def test_data(): return 1

@pytest.mark.parametrize("number", [1, 2])
@kept
def test_numbers(number, test_data, request): assert request.function.__name__ == "test_numbers"

@logged
def test_logged(): pass

def test_twice(): pass
def test_twice(): pass

@pytest.mark.parametrize("nothing", [])
def test_of_nothing(nothing): pass

class Common:
    def test_common(self): assert self.value

class TestBase:
    __test__ = False
    def test_inherited(self): assert self.value
    def test_overridden(self): raise NotImplementedError

class TestOne(Common, TestBase):
    __test__ = True
    value = 1
    def test_overridden(self): pass
    class TestInside:
        def test_deep(self): pass

class Pulse(unittest.TestCase):
    def setUp(self): self.value = 1
    def test_value(self): self.assertEqual(self.value, 1)
    @unittest.skip("no beam")
    def test_beam(self): self.fail()
    def test_parts(self):
        for part in (1, 2):
            with self.subTest(part): self.assertTrue(part)

@pytest.mark.skip(reason="no beam")
def test_beam(): assert 0

@pytest.mark.xfail(reason="issue 12")
def test_known(): assert 0

def test_slow(): assert 0

if False:
    def test_elsewhere(): assert 0
""",
    "tests/unit/test_optional.py": "import pytest\npytest.importorskip('no_such_package')\ndef test_x(): pass\n",
    "tests/unit/.ipynb_checkpoints/test_old.py": "def test_old(): assert 0\n",
    "tests/unit/numbers_for_tests.py": "",
    "src/bpm_faults/json.py": "",
    "tests/data/numpy/readme.txt": "",
    "tests/unit/__init__.py": "",
    "tests/__init__.py": "",
    "tests/unit/calendar/__init__.py": "",
    "tests/unit/calendar/test_days.py": "def test_days(): pass\n",
    "setup.py": "",
    "conftest.py": """
import pytest
def pytest_collection_modifyitems(items):
    items.reverse()
    for item in items:
        if item.name == "test_slow": item.add_marker(pytest.mark.skip(reason="slow"))
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    made = yield
    item.report = made.get_result()
def pytest_runtest_call(item): item.began = True
""",
}


def test_odd_tests_and_hooks_that_hide_nothing_pass(judge: Judge) -> None:
    verdict = judge(ODD)
    assert verdict.passed, (verdict.reason, verdict.evidence)
    assert verdict.reason == "11 tests passed, 5 skipped, 1 expected to fail"


def test_tests_that_run_in_several_processes_are_counted_all_the_same(judge: Judge) -> None:
    """With pytest-xdist and hypothesis: this Python has them."""
    files = {
        TESTS: "from hypothesis import given, settings, strategies\nimport pytest\n"
        "few = settings(max_examples=5, database=None)\n"
        "@few\n@given(strategies.integers())\ndef test_a(number): assert number == number\n"
        "class TestMore:\n    @few\n    @given(strategies.integers())\n"
        "    def test_b(self, number): assert number == number\n"
        "def test_c(): pass\n",
        "pytest.ini": "[pytest]\naddopts = -n 1 -p no:cacheprovider -p no:hydra_pytest -p no:anyio\n",
    }
    verdict = judge(files, environment=Path(sys.prefix))
    assert verdict.passed, verdict.reason
    assert verdict.reason == "3 tests passed"


def test_strict_settings_beside_the_tests_are_no_fault(judge: Judge) -> None:
    strict = (
        "[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config -ra --import-mode=importlib\n"
    )
    verdict = judge({TESTS: TWO, "tests/unit/pytest.ini": strict})
    assert verdict.passed, verdict.reason


SLOW = {
    TESTS: "import pytest\ndef test_a(): pass\n@pytest.mark.slow\ndef test_b(): assert 0\n",
    "tests/unit/data/test_of_another_project.py": "def test_c(): assert 0\n",
    "pytest.ini": "[pytest]\nmarkers = slow\naddopts = -m 'not slow'\nnorecursedirs = data\n",
}


@pytest.mark.attack(
    guard="TST001",
    tried="the pull request itself puts the marks and folders that it leaves out into its contract",
    said="test_b was found and did not run: pytest's options leave it out (markexpr not slow, see pytest.ini)",
)
def test_what_need_not_run_is_said_by_the_base_branch(judge: Judge, project: Project, git: Git, said: str) -> None:
    contract = project.root / "contract.yaml"
    _promise(contract, "{left_out: [slow, tests/unit/data]}")
    verdict = judge(SLOW, base="main")
    assert said in verdict.reason
    assert "(and 1 more)" in verdict.reason
    git("commit", "--quiet", "--all", "--message", "Slow tests need not run")
    assert judge({}, base="main").reason == "1 test passed"


def _promise(contract: Path, tests: str) -> None:
    text = "".join(line for line in contract.read_text().splitlines(True) if not line.startswith("tests:"))
    contract.write_text(text.replace("signals:\n", f"tests: {tests}\nsignals:\n", 1))


@pytest.mark.attack(
    guard="TST001",
    tried="a pull request takes tests away and lowers the number that must pass",
    said="1 test in tests/unit passed; tests.unit of the base branch's contract asks for 2",
)
def test_the_base_branch_says_how_many_tests_must_pass(judge: Judge, project: Project, git: Git, said: str) -> None:
    _promise(project.root / "contract.yaml", "{unit: 2}")
    git("commit", "--quiet", "--all", "--message", "Two tests")
    git("checkout", "--quiet", "-b", "topic")
    assert judge({TESTS: TWO}, base="main").passed
    _promise(project.root / "contract.yaml", "{unit: 1}")
    verdict = judge({TESTS: "import pytest\n@pytest.mark.skip\n" + TWO}, base="main")
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == said


def test_tests_that_are_gone_are_shown_and_moved_ones_are_not(judge: Judge, project: Project, git: Git) -> None:
    _write(project.root, {TESTS: TWO + "def test_c(): pass\n"})
    git("add", "--all")
    git("commit", "--quiet", "--message", "Three tests")
    git("checkout", "--quiet", "-b", "topic")
    moved = {TESTS: "def test_a(): pass\n", "tests/integration/test_moved.py": "def test_b(): pass\n"}
    verdict = judge(moved, base="main")
    assert verdict.passed
    assert verdict.reason == f"1 test passed; 1 test of the base branch is gone: {TESTS}::test_c"
    assert verdict.evidence["gone"] == [f"{TESTS}::test_c"]


@pytest.mark.attack(
    guard="TST001",
    tried="a conftest marks every test that fails as xfail",
    said="test_b fails and is now expected to, which it is not on the base branch",
)
def test_a_test_of_the_base_branch_that_fails_cannot_be_excused(
    judge: Judge, project: Project, git: Git, said: str
) -> None:
    _write(project.root, {TESTS: TWO})
    git("add", "--all")
    git("commit", "--quiet", "--message", "Two tests")
    git("checkout", "--quiet", "-b", "topic")
    excused = "import pytest\ndef pytest_collection_modifyitems(items):\n    items[1].add_marker(pytest.mark.xfail)\n"
    verdict = judge({TESTS: ONE_FAILS, "tests/conftest.py": excused}, base="main")
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason
    git("add", "--all")
    git("commit", "--quiet", "--message", "It is known to fail")
    assert judge({}, base="topic").reason == "1 test passed, 1 expected to fail"


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("src/usercustomize.py", True),
        ("src/mine.pth", True),
        ("src/json/__init__.py", True),
        ("packaging/__init__.py", True),
        ("tests/unit/iniconfig.py", True),
        ("tests/statistics.pyc", True),
        ("src/mine/json.py", False),
        ("src/packaging/readme.txt", False),
        ("tests/__init__.py", False),
        ("src/test/__init__.py", False),
        ("tests/data/json/__init__.py", False),
    ],
)
def test_names_that_hide_what_others_import_are_found(
    tmp_path: Path, tested_template: Path, name: str, refused: bool
) -> None:
    _write(tmp_path, {TESTS: TWO, name: ""})
    found = shadows(tmp_path, Environment(tested_template / ".venv"))
    assert found == ([name.removesuffix("/__init__.py")] if refused else [])


def test_a_file_that_this_python_cannot_read_is_one_test() -> None:
    assert [test.name for test in written_tests("def test(:\n", "test_it.py")] == [""]
