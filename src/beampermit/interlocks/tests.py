"""TST: the project's own tests pass, in its locked environment."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from beampermit.environments import Environment
from beampermit.errors import BadInput, Outside
from beampermit.interlocks import junit
from beampermit.interlocks.interlock import Finding, Interlock, closed, tripped
from beampermit.interlocks.junit import Case
from beampermit.processes import Finished
from beampermit.project import Project
from beampermit.verdict import Location

TIMEOUT = 1800.0
"""Seconds after which tests that hang are stopped."""
MOST = 20


class TST001(Interlock):
    "Unit tests pass"

    requires = frozenset({"ENV005"})
    slow = True

    def check(self, project: Project, environment: Environment) -> Finding:
        """A unit test does not pass. Run `beampermit env run -- python -m pytest tests/unit`."""
        return _tests(project, environment, "tests/unit")


class TST002(Interlock):
    "Integration tests pass, end to end"

    requires = frozenset({"ENV005"})
    slow = True

    def check(self, project: Project, environment: Environment) -> Finding:
        """An integration test does not pass. Run `beampermit env run -- python -m pytest tests/integration`."""
        return _tests(project, environment, "tests/integration")


def _tests(project: Project, environment: Environment, folder: str) -> Finding:
    if not (project.root / folder).is_dir():
        return tripped(f"there are no tests: {folder} is missing", folder)
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        try:
            finished = _pytest(project, environment, folder, report)
        except Outside as error:
            return tripped(error.message, folder)
        try:
            cases = junit.read(report)
        except BadInput as error:
            return tripped(_why_none(finished, error), folder, exit_status=finished.code)
    return _judged(folder, finished, cases)


def _pytest(project: Project, environment: Environment, folder: str, report: Path) -> Finished:
    # xunit1 is the form that names the file and line of each test.
    options = [f"--junitxml={report}", "--override-ini=junit_family=xunit1", "--quiet"]
    return environment.run(
        ["-m", "pytest", folder, *options],
        project=project.root,
        # Whoever runs the check has no say in which tests are run.
        env={"PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": "", "NO_COLOR": "1", "COLUMNS": "120"},
        timeout=TIMEOUT,
    )


def _judged(folder: str, finished: Finished, cases: Sequence[Case]) -> Finding:
    counts = Counter(case.outcome for case in cases)
    evidence = {
        "tests": len(cases),
        **{outcome: counts[outcome] for outcome in ("passed", "failed", "error", "skipped")},
        "seconds": round(sum(case.seconds for case in cases), 3),
        "slowest": [
            {"test": f"{case.file}::{case.name}", "seconds": case.seconds}
            for case in sorted(cases, key=lambda case: -case.seconds)[:5]
        ],
        "skipped_because": [f"{case.name}: {case.message}" for case in cases if case.outcome == "skipped"][:MOST],
        "exit_status": finished.code,
    }
    broken = [case for case in cases if case.outcome in ("failed", "error")]
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        places = dict.fromkeys(Location(file=case.file, line=case.line) for case in broken[:MOST])
        return tripped(f"{broken[0].place} {broken[0].name}: {broken[0].message}{more}", *places, **evidence)
    if not cases:
        return tripped(f"no tests ran in {folder}", folder, **evidence)
    if not counts["passed"]:
        return tripped(f"none of {len(cases)} tests in {folder} passed: all were skipped", folder, **evidence)
    if finished.code:
        return tripped(f"pytest ended with exit status {finished.code}: {finished.tail}", folder, **evidence)
    skips = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    return closed(f"{counts['passed']} tests passed{skips}", **evidence)


def _why_none(finished: Finished, error: BadInput) -> str:
    """Why pytest gave no report that can be read."""
    if "No module named pytest" in finished.err:
        return "pytest is not in the locked environment: add it to the group dev of pyproject.toml"
    said = junit.ERROR.findall(f"{finished.out}\n{finished.err}")
    if said:
        return f"pytest did not start: {said[-1]}"
    if finished.code == 0:
        return f"{error.message}, though its exit status is 0: something ended the process before the tests had"
    return f"{error.message}, exit status {finished.code}: {finished.tail}"
