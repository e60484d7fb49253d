"""TST: the project's own tests pass in its locked environment."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.part import version
from beampermit.contract.software import Gpu
from beampermit.environments import Environment, platforms
from beampermit.environments.platforms import Gpus
from beampermit.errors import more
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.interlocks.pytest_run import Ran, run_tests
from beampermit.project import Project
from beampermit.verdicts.verdict import Location, Outcome


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


def find_marks(root: Path, name: str) -> list[Location]:
    """Where `pytest.mark.<name>` is used below `tests`; nothing is imported."""
    return [
        Location(file=file.relative_to(root).as_posix(), line=node.lineno)
        for file in sorted((root / "tests").rglob("*.py"))
        for node in ast.walk(_parsed(file))
        if isinstance(node, ast.Attribute) and node.attr == name and _is_mark(node.value)
    ]


def _is_mark(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "mark"


def _parsed(file: Path) -> ast.AST:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return ast.Module(body=[], type_ignores=[])  # pytest reports it better


UNIT, INTEGRATION = "tests/unit", "tests/integration"
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
    "Unit tests pass"

    requires = frozenset({"ENV005"})
    slow = True

    def check(self, project: Project, environment: Environment) -> Finding:
        """Run `beampermit env run -- python -m pytest tests/unit` and fix what fails."""
        return _tests(project, environment, UNIT)


class TST002(Interlock):
    "Integration tests pass"

    requires = frozenset({"ENV005"})
    slow = True

    def check(self, project: Project, environment: Environment) -> Finding:
        """Run `beampermit env run -- python -m pytest tests/integration` and fix what fails."""
        return _tests(project, environment, INTEGRATION)


class TST003(Interlock):
    "GPU tests pass on a GPU, and none is skipped"

    requires = frozenset({"ENV005"})
    slow = True

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
    ran = run_tests(project, environment, folders, gpu=True)
    finding = _judge(folders, ran, **machine, peak_memory=ran.peak)
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


def _tests(project: Project, environment: Environment, folder: str) -> Finding:
    if not (project.root / folder).is_dir():
        return failed(f"there are no tests: {folder} is missing", folder)
    return _judge([folder], run_tests(project, environment, [folder]))


def _judge(folders: Sequence[str], ran: Ran, **machine: Any) -> Finding:
    where, cases = " and ".join(folders), ran.cases
    if ran.trouble:
        exit_status: dict[str, Any] = {} if ran.code is None else {"exit_status": ran.code}
        return failed(ran.trouble, *folders, **machine, **exit_status)
    counts = Counter(case.outcome for case in cases)
    evidence = {
        **machine,
        "tests": len(cases),
        **{outcome: counts[outcome] for outcome in ("passed", "failed", "error", "skipped")},
        "seconds": round(sum(case.seconds for case in cases), 3),
        "slowest": [
            {"test": f"{case.file}::{case.name}", "seconds": case.seconds}
            for case in sorted(cases, key=lambda case: -case.seconds)[:5]
        ],
        "skipped_because": [f"{case.name}: {case.message}" for case in cases if case.outcome == "skipped"][:MOST],
        "exit_status": ran.code,
    }
    broken = [case for case in cases if case.outcome in ("failed", "error")]
    if broken:
        places = dict.fromkeys(Location(file=case.file, line=case.line) for case in broken[:MOST])
        return failed(
            f"{broken[0].place} {broken[0].name}: {broken[0].message}{more(len(broken) - 1)}", *places, **evidence
        )
    if not cases:
        return failed(f"no tests ran in {where}", *folders, **evidence)
    if not counts["passed"]:
        return failed(f"all tests in {where} were skipped ({len(cases)})", *folders, **evidence)
    if ran.code:
        return failed(f"pytest ended with exit status {ran.code}: {ran.tail}", *folders, **evidence)
    skips = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    return passed(f"{counts['passed']} tests passed{skips}", **evidence)
