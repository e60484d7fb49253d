"""TST: the project's own tests pass in its locked environment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.part import version
from beampermit.contract.software import Gpu, Tests
from beampermit.environments import Environment, platforms
from beampermit.environments.platforms import Gpus
from beampermit.errors import BadInput, Problem, counted, more
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import PROJECT_CODE, Finding, Interlock, MissingInput, failed, passed
from beampermit.interlocks.notebooks import TST005
from beampermit.interlocks.pytest_run import Ran, run_tests
from beampermit.interlocks.style import TST004
from beampermit.interlocks.tests_together import INTEGRATION, UNIT, TestRuns
from beampermit.interlocks.written_tests import (
    BaseTests,
    find_marks,
    find_tests,
    replaced,
    shadows,
    unexpected,
    unfound,
    unrun,
)
from beampermit.project import Project
from beampermit.verdicts.verdict import Location, Outcome

__all__ = ["TST001", "TST002", "TST003", "TST004", "TST005", "find_shortfall", "required_gpu"]


def find_shortfall(required: Gpu, driver: str, seen: Gpus) -> str:
    """Why the machine does not meet the contract; empty if it does. Every GPU that torch sees must meet it."""
    if required.driver and version(driver) < version(required.driver):
        return f"the driver is {driver}, older than {required.driver}"
    for device in seen.devices:
        if version(device.capability) < version(required.capability):
            return f"{device.name} has compute capability {device.capability}, less than {required.capability}"
        if required.memory and device.memory < required.memory:
            return f"{device.name} has {device.memory:.0f} MiB, less than {required.memory:.0f}"
    return ""


MOST = 20


@provides
def required_gpu(contract: Contract, base_contract: Contract) -> Gpu | None:
    """What the tests need of a GPU: from the base branch's contract, or this one's where the base asks for none."""
    return base_contract.tests.gpu or contract.tests.gpu


@provides
def driver(required_gpu: Gpu | None) -> str:
    """The version of this machine's GPU driver; empty where the contract asks for no GPU."""
    return platforms.driver_version() if required_gpu else ""


class TST001(Interlock):
    "Unit tests pass, and every one of them runs"

    requires = frozenset({"ENV005"})
    decided_by = PROJECT_CODE

    def check(self, project: Project, environment: Environment, test_runs: TestRuns) -> Finding:
        """Run `beampermit env run -- python -m pytest tests/unit` and fix what fails.

        A test that stands in a file must run: take out the option or hook that leaves it out. To leave a test out in
        sight of all, mark it with `@pytest.mark.skip(reason="...")`; it is then shown as skipped. Marks and folders
        that need not run stand in `tests.left_out` of the base branch's contract.
        """
        return _tests(project, environment, test_runs, UNIT)


class TST002(Interlock):
    "Integration tests pass, and every one of them runs"

    requires = frozenset({"ENV005"})
    decided_by = PROJECT_CODE

    def check(self, project: Project, environment: Environment, test_runs: TestRuns) -> Finding:
        """Run `beampermit env run -- python -m pytest tests/integration` and fix what fails.

        A test that stands in a file must run, as for TST001.
        """
        return _tests(project, environment, test_runs, INTEGRATION)


class TST003(Interlock):
    "GPU tests pass on a GPU, and none is skipped"

    requires = frozenset({"ENV005"})
    decided_by = (*PROJECT_CODE, "gpu")

    def check(self, project: Project, required_gpu: Gpu | None, driver: str, environment: Environment) -> Finding:
        """Every test marked `gpu` must run and pass on a GPU that meets `tests.gpu` in `contract.yaml`.

        On a machine with such a GPU, run `beampermit env install --variant cuda`, then
        `beampermit env run -- python -m pytest -m gpu`. In CI, set `gpu-labels` in
        `.github/workflows/pull-request.yml` and `release.yml` to the labels of your GPU runners; see `docs/runners.md`
        of Beampermit. If the contract has no `tests.gpu`, no machine runs a test marked `gpu`: add
        `tests: {gpu: {capability: "7.0"}}` to the contract, or remove the mark.
        """
        if required_gpu is None:
            return _without_gpu(project)
        seen = platforms.torch_gpus(environment, project.root)
        machine = {"driver": driver, **seen.model_dump(mode="json")}
        if shortfall := find_shortfall(required_gpu, driver, seen):
            return failed(f"{shortfall}, the minimum in the contract", FILE_NAME, **machine)
        return _gpu_tests(project, environment, machine)


def _without_gpu(project: Project) -> Finding:
    marked = find_marks(project.root, "gpu")
    if marked:
        first = marked[0]
        reason = f"{first.file}:{first.line} is marked gpu, but no machine runs it: the contract has no tests.gpu"
        return failed(reason, *marked[:MOST])
    return passed("neither the contract nor a test asks for a GPU")


def _gpu_tests(project: Project, environment: Environment, machine: dict[str, Any]) -> Finding:
    folders = [folder for folder in (UNIT, INTEGRATION) if (project.root / folder).is_dir()]
    if not folders:
        return failed(f"there are no tests: {UNIT} and {INTEGRATION} are missing", **machine)
    if problem := _shadowed(project, environment):
        return problem
    ran = run_tests(project, environment, folders, gpu=True)
    left = unrun(ran, _rules(project), gpu=True, gpu_elsewhere=False)
    finding = _judge(folders, ran, left, **machine, peak_memory=ran.peak)
    if finding.outcome is not Outcome.PASSED:
        return finding
    skipped = next((case for case in ran.cases if case.outcome == "skipped"), None)
    if skipped:
        reason = f"{skipped.place} {skipped.name} was skipped: {skipped.message}"
        return replace(finding, outcome=Outcome.FAILED, reason=reason)
    if not ran.peak:
        reason = "the tests marked gpu passed, but none of them used GPU memory"
        return replace(finding, outcome=Outcome.FAILED, reason=reason)
    device, driver = machine["devices"][0]["name"], machine["driver"]
    reason = f"{finding.reason} on {device}, driver {driver}, peak memory {ran.peak:.0f} MiB"
    return replace(finding, reason=reason)


def _tests(project: Project, environment: Environment, test_runs: TestRuns, folder: str) -> Finding:
    if not (project.root / folder).is_dir():
        return failed(f"there are no tests: {folder} is missing", folder)
    if problem := _shadowed(project, environment):
        return problem
    if together := test_runs.part(folder):
        finding = _finding(project, folder, together)
        if finding.outcome is Outcome.PASSED:
            return finding
    return _finding(project, folder, run_tests(project, environment, [folder]))


def _finding(project: Project, folder: str, ran: Ran) -> Finding:
    rules, base, written = _rules(project), BaseTests(project), find_tests(project.root, folder)
    left = [
        *unrun(ran, rules, gpu=False, gpu_elsewhere=rules.gpu is not None),
        *unfound(ran, rules, written),
        *replaced(ran, rules, written),
        *unexpected(ran, base),
    ]
    finding = _judge([folder], ran, left)
    if finding.outcome is not Outcome.PASSED:
        return finding
    least = rules.unit if folder == UNIT else rules.integration
    if (enough := len([case for case in ran.cases if case.counts])) < least:
        key = folder.replace("/", ".")
        reason = f"{counted(enough, 'test')} in {folder} passed; {key} of the base branch's contract asks for {least}"
        return replace(finding, outcome=Outcome.FAILED, reason=reason, locations=(Location(file=folder),))
    return _with_gone(finding, base.gone(folder))


def _rules(project: Project) -> Tests:
    """From the base branch's contract; a GPU also from this one, where the base asks for none."""
    if not project.has_contract:
        return Tests()
    try:
        rules, own = project.base_contract.tests, project.contract.tests
    except BadInput as error:
        raise MissingInput(f"the contract, which says what tests must do, cannot be read: {error}") from None
    return rules if rules.gpu else rules.model_copy(update={"gpu": own.gpu})


def _shadowed(project: Project, environment: Environment) -> Finding | None:
    found = shadows(project.root, environment)
    if not found:
        return None
    reason = f"{found[0]} would be imported in place of Python's own or of a package of the lock: rename it"
    return failed(f"{reason}{more(len(found) - 1)}", *found[:MOST])


def _with_gone(finding: Finding, gone: Sequence[str]) -> Finding:
    if not gone:
        return finding
    tests = "1 test of the base branch is" if len(gone) == 1 else f"{len(gone)} tests of the base branch are"
    evidence: Any = finding.evidence
    reason = f"{finding.reason}; {tests} gone: {gone[0]}{more(len(gone) - 1)}"
    return replace(finding, reason=reason, evidence={**evidence, "gone": list(gone[:MOST])})


def _judge(folders: Sequence[str], ran: Ran, left: Sequence[Problem], **machine: Any) -> Finding:
    if ran.trouble:
        exit_status: dict[str, Any] = {} if ran.code is None else {"exit_status": ran.code}
        return failed(ran.trouble, *folders, **machine, **exit_status)
    evidence = {**machine, **_counts(ran), "not_run": [problem.message for problem in left[:MOST]]}
    problems = [
        Problem(f"{case.place} {case.name}: {case.message}", case.file, case.line)
        for case in ran.cases
        if case.outcome in ("failed", "error")
    ]
    if not problems and ran.cases:
        problems = list(left)
    if problems:
        places = (
            Location(
                file=str(problem.file), line=problem.line, reason=problem.message.removeprefix(f"{problem.place} ")
            )
            for problem in problems[:MOST]
        )
        return failed(f"{problems[0].message}{more(len(problems) - 1)}", *places, **evidence)
    if why := _insufficient(" and ".join(folders), ran):
        return failed(why, *folders, **evidence)
    return passed(_summary(evidence), **evidence)


def _insufficient(where: str, ran: Ran) -> str:
    """Why no single test is at fault and the run does not count; empty if it does."""
    if not ran.cases:
        return f"no tests ran in {where}"
    if not any(case.counts for case in ran.cases):
        expected = "expected to fail or " if any(case.expected for case in ran.cases) else ""
        return f"all tests in {where} were {expected}skipped ({len(ran.cases)})"
    return f"pytest ended with exit status {ran.code}: {ran.tail}" if ran.code else ""


def _counts(ran: Ran) -> dict[str, Any]:
    cases = ran.cases
    counts = Counter(case.outcome for case in cases if not case.expected)
    return {
        "tests": len(cases),
        **{outcome: counts[outcome] for outcome in ("passed", "failed", "error", "skipped")},
        "expected_to_fail": sum(case.expected for case in cases),
        "seconds": round(sum(case.seconds for case in cases), 3),
        "slowest": [
            {"test": f"{case.file}::{case.name}", "seconds": case.seconds}
            for case in sorted(cases, key=lambda case: -case.seconds)[:5]
        ],
        "skipped_because": [f"{case.name}: {case.message}" for case in cases if case.outcome == "skipped"][:MOST],
        "exit_status": ran.code,
    }


def _summary(counts: dict[str, Any]) -> str:
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    expected = f", {counts['expected_to_fail']} expected to fail" if counts["expected_to_fail"] else ""
    return f"{counted(counts['passed'], 'test')} passed{skipped}{expected}"
