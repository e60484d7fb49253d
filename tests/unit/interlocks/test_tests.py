"""TST passes only where pytest, in the locked environment, ran tests and all of them passed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from beampermit.environments import Environment
from beampermit.errors import BadInput
from beampermit.interlocks import pytest_run, runner
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.package_index import tested_template

pytestmark = pytest.mark.slow

__all__ = ["tested_template"]

Judge = Callable[..., Verdict]


@pytest.fixture
def judge(project: Project, tested_template: Path) -> Judge:
    """Judge files of tests: `judge("def test(): ...", "TST001")`; the first argument is `tests/<folder>/test_it.py`."""
    shutil.copy(tested_template / "pyproject.toml", project.root)
    environment = Environment(tested_template / ".venv")

    def run(content: str | None, id: str = "TST001", **others: str) -> Verdict:
        folder = project.root / "tests" / {"TST001": "unit", "TST002": "integration"}[id]
        folder.mkdir(parents=True)
        if content is not None:
            (folder / "test_it.py").write_text(content)
        for name, text in others.items():
            (folder / f"{name}.py").write_text(text)
        (verdict,) = runner.run(select_interlocks([id]), Inputs(project=project, environment=environment))
        return verdict

    return run


@pytest.mark.parametrize("id", ["TST001", "TST002"])
def test_tests_that_pass_are_counted(judge: Judge, project: Project, id: str) -> None:
    (project.root / "src").mkdir()
    (project.root / "src/mine.py").write_text("ANSWER = 42\n")
    verdict = judge(
        "import gc, mine, pytest\ndef test_one():\n assert mine.ANSWER == 42\n"
        " assert gc.isenabled() and gc.get_freeze_count() > 1000\n"
        "@pytest.mark.skip(reason='no beam today')\ndef test_two(): pass\n",
        id,
    )
    assert verdict.passed, verdict.reason
    assert verdict.reason == "1 test passed, 1 skipped"
    assert verdict.evidence["tests"] == 2
    assert verdict.evidence["skipped_because"] == ["test_two: no beam today"]
    names = [slow["test"].rpartition("::")[2] for slow in verdict.evidence["slowest"]]
    assert sorted(names) == ["test_one", "test_two"]


DEFECTS = {
    "a failing test": (
        "def test_tune():\n    tune = 0.31\n    assert tune == 0.28, 'tune is off'\ndef test_other(): assert False\n",
        "tests/unit/test_it.py:3 test_tune: AssertionError: tune is off",
        3,
    ),
    "an error": (
        "def test_beam():\n    raise RuntimeError('no beam')\n",
        "tests/unit/test_it.py:2 test_beam: RuntimeError",
        2,
    ),
    "a broken fixture": (
        "import pytest\n@pytest.fixture\ndef beam(): raise OSError('dumped')\ndef test_beam(beam): pass\n",
        'test_beam: failed on setup with "OSError: dumped"',
        None,
    ),
    "an import that fails": (
        "import nothing_like_this\ndef test(): pass\n",
        "No module named 'nothing_like_this'",
        None,
    ),
    "a syntax error": ("def test(:\n", "SyntaxError: invalid syntax", None),
    "no tests": ("x = 1\n", "no tests ran in tests/unit", None),
    "no files": (None, "no tests ran in tests/unit", None),
    "all skipped": (
        "import pytest\n@pytest.mark.skip\ndef test(): pass\n",
        "all tests in tests/unit were skipped (1)",
        None,
    ),
    "the process ends well in a test": (
        "import os\ndef test(): os._exit(0)\n",
        "pytest ended without a report, though its exit status is 0: something ended the process",
        None,
    ),
    "the process ends badly in a test": (
        "import os\ndef test(): os._exit(3)\n",
        "pytest ended without a report, exit status 3",
        None,
    ),
}


@pytest.mark.plants("TST001")
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_fails_with_file_line_and_message(judge: Judge, defect: str) -> None:
    content, message, line = DEFECTS[defect]
    verdict = judge(content)
    assert verdict.outcome is Outcome.FAILED, verdict
    assert message in verdict.reason
    assert line is None or verdict.locations[0].line == line
    assert verdict.locations[0].file.startswith("tests/unit")
    assert "beampermit env run -- python -m pytest tests/unit" in verdict.fix


def test_further_failures_are_counted(judge: Judge) -> None:
    verdict = judge("def test_a(): assert 0\ndef test_b(): assert 0\ndef test_c(): pass\n")
    assert verdict.reason.endswith("(and 1 more)")
    assert (verdict.evidence["passed"], verdict.evidence["failed"]) == (1, 2)
    assert [place.reason for place in verdict.others] == ["test_b: assert 0"]


def test_a_cause_of_several_lines_is_whole(judge: Judge) -> None:
    verdict = judge("def test(): pass\n", conftest='raise ValueError("a tab\\n  in contract.yaml, line 3")\n')
    assert verdict.reason == "pytest did not start: ValueError: a tab in contract.yaml, line 3"


CHEATS = {
    "everything deselected": ("def pytest_collection_modifyitems(items): items.clear()\n", "no tests ran"),
    "a failure called success": ("def pytest_sessionfinish(session): session.exitstatus = 0\n", "test_it.py:1 test"),
    "a conftest that breaks pytest": (
        "def pytest_collection_modifyitems(items): raise RuntimeError('no beam')\n",
        "tests/unit/conftest.py:1 pytest: RuntimeError: no beam",
    ),
    "a teardown that fails": (
        "import pytest\n@pytest.fixture(autouse=True)\ndef beam():\n    yield\n    raise OSError('dumped')\n",
        "test_it.py:1 test: ",
    ),
    "a conftest that does not import": ("import nothing_like_this\n", "No module named 'nothing_like_this'"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_conftest_that_hides_failures_fails(judge: Judge, cheat: str) -> None:
    conftest, message = CHEATS[cheat]
    verdict = judge("def test(): assert 0\n", conftest=conftest)
    assert verdict.outcome is Outcome.FAILED
    assert message in verdict.reason


def test_whoever_checks_has_no_say_in_which_tests_run(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k test_good")
    verdict = judge("def test_good(): pass\ndef test_bad(): assert 0\n")
    assert "test_bad" in verdict.reason


def test_variables_that_the_tests_get_are_said_by_the_base_branch(project: Project, git: Callable[..., str]) -> None:
    (project.root / ".venv/bin").mkdir(parents=True)
    (project.root / ".venv/bin/python").touch()
    contract = project.root / "contract.yaml"
    contract.write_text(contract.read_text().replace("  backend: uv\n", "  backend: uv\n  variables: [LAB_LOGIN]\n"))
    assert Project(project.root, "main").contract.environment.variables == ("LAB_LOGIN",)
    assert Inputs(project=Project(project.root, "main"))["environment"].passed == ()
    git("commit", "--quiet", "--all", "--message", "The tests may see it")
    assert Inputs(project=Project(project.root, "main"))["environment"].passed == ("LAB_LOGIN",)


@pytest.mark.parametrize("name", ["BEAMPERMIT_SIGNING_KEY", "GITHUB_ENV", "PYTEST_ADDOPTS", "A-B"])
def test_a_contract_cannot_let_the_jobs_own_variables_through(project: Project, name: str) -> None:
    contract = project.root / "contract.yaml"
    contract.write_text(contract.read_text().replace("  backend: uv\n", f"  backend: uv\n  variables: [{name}]\n"))
    with pytest.raises(BadInput, match=r"contract.yaml:\d+: .*variables"):
        _ = Project(project.root).contract


@pytest.mark.plants("TST002")
def test_a_folder_that_is_missing_fails(project: Project, tested_template: Path) -> None:
    inputs = Inputs(project=project, environment=Environment(tested_template / ".venv"))
    (verdict,) = runner.run(select_interlocks(["TST002"]), inputs)
    assert verdict.reason == "there are no tests: tests/integration is missing"


def test_an_environment_without_pytest_is_named(judge: Judge, project: Project, tmp_path: Path) -> None:
    import venv

    venv.create(tmp_path / "bare", symlinks=True)
    (project.root / "tests/unit").mkdir(parents=True)
    inputs = Inputs(project=project, environment=Environment(tmp_path / "bare"))
    (verdict,) = runner.run(select_interlocks(["TST001"]), inputs)
    assert verdict.reason.startswith("pytest is not in the locked environment")


def test_tests_that_hang_are_stopped(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest_run, "TIMEOUT", 3.0)
    verdict = judge("import time\ndef test(): time.sleep(120)\n")
    assert verdict.outcome is Outcome.FAILED
    assert "took longer than 3 s and was stopped" in verdict.reason


CASE = {
    "id": "tests/unit/test_it.py::test",
    "name": "test",
    "outcome": "passed",
    "seconds": 0.1,
    "message": "",
    "file": "tests/unit/test_it.py",
    "line": 1,
    "expected": False,
    "seen": "",
}
REPORT = {"word": "quench", "cases": [CASE], "collected": [], "options": [], "settings": "", "gpu_peak": 0}


def _report(**changes: object) -> str:
    """A sound report with changes: of its case, or of its own keys."""
    case = {**CASE, **{key: value for key, value in changes.items() if key not in REPORT}}
    return json.dumps({**REPORT, "cases": [case], **{key: value for key, value in changes.items() if key in REPORT}})


REPORTS = {
    "no JSON": "{",
    "no report": "[]",
    "a number that is none": _report(seconds=float("nan")),
    "a time that is not a number": _report(seconds="soon"),
    "a negative time": _report(seconds=-1),
    "another outcome": _report(outcome="excused"),
    "a control character": _report(message="\x1b[2J"),
    "a long message": _report(message="x" * 301),
    "line 0": _report(line=0),
    "a key too many": _report(trusted=True),
    "true as a number": _report(gpu_peak=True),
    "no cases": json.dumps({key: value for key, value in REPORT.items() if key != "cases"}),
    "two reports": _report() + _report(),
    "nothing": "",
}


def _read(content: str) -> pytest_run.Report:
    return pytest_run.read_report(pytest_run.Report, BytesIO(content.encode()), "quench", "pytest")


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_that_the_plugin_would_not_write_is_refused(report: str) -> None:
    assert _read(_report()).cases[0].place == "tests/unit/test_it.py:1"
    with pytest.raises(BadInput):
        _read(REPORTS[report])


@pytest.mark.attack(
    guard="TST001",
    tried="code of the project finds the open file and writes a report into it: 63 passed",
    said="something else than Beampermit wrote the report of pytest",
)
def test_a_report_without_the_word_that_the_plugin_was_given_is_refused(said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        _read(_report(word="guess"))


def test_a_report_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest_run, "LARGEST", 10)
    with pytest.raises(BadInput, match="larger than 10 bytes"):
        _read(_report())
