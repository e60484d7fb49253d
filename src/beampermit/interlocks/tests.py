"""TST: the project's own tests pass, in its locked environment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.software import Gpu
from beampermit.environments import Environment, platforms
from beampermit.errors import more
from beampermit.interlocks.gpu_needs import marks, too_small
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.interlocks.pytest_run import Ran, run_tests
from beampermit.project import Project
from beampermit.verdicts.verdict import Location, Outcome

UNIT, INTEGRATION = "tests/unit", "tests/integration"
MOST = 20


@provides
def gpu_asked(contract: Contract, base_contract: Contract) -> Gpu | None:
    """What the tests need of a GPU. A first promise holds at once; from then on the base branch's judges."""
    return base_contract.tests.gpu or contract.tests.gpu


@provides
def driver(gpu_asked: Gpu | None) -> str:
    """The version of the machine's GPU driver, where one is asked for: known before an environment is looked for."""
    return platforms.driver() if gpu_asked else ""


class TST001(Interlock):
    "Unit tests pass"

    requires = frozenset({"ENV005"})
    slow = True

    def check(self, project: Project, environment: Environment) -> Finding:
        """A unit test does not pass. Run `beampermit env run -- python -m pytest tests/unit`."""
        return _tests(project, environment, UNIT)


class TST002(Interlock):
    "Integration tests pass, end to end"

    requires = frozenset({"ENV005"})
    slow = True

    def check(self, project: Project, environment: Environment) -> Finding:
        """An integration test does not pass. Run `beampermit env run -- python -m pytest tests/integration`."""
        return _tests(project, environment, INTEGRATION)


class TST003(Interlock):
    "GPU tests ran on a GPU: none skipped, device recorded"

    requires = frozenset({"ENV005"})
    slow = True

    def check(self, project: Project, gpu_asked: Gpu | None, driver: str, environment: Environment) -> Finding:
        """The tests marked `gpu` did not all run, and pass, on a GPU such as `tests.gpu` of `contract.yaml` asks for.

        On a machine that has one, run `beampermit env install --variant cuda` and
        `beampermit env run -- python -m pytest -m gpu`. In CI, `gpu-labels` in `.github/workflows/pull-request.yml`
        and `release.yml` names the runners that have one; `docs/runners.md` of Beampermit says how to set them up.
        Where the contract has no `tests.gpu`, a test marked `gpu` fails TST003, since nobody would ever run it: add
        `tests: {gpu: {capability: "7.0"}}` to the contract, or remove the test.
        """
        if gpu_asked is None:
            return _without_gpu(project)
        seen = platforms.seen_by_torch(environment, project.root)
        below = too_small(gpu_asked, driver, seen)
        found = {"driver": driver, **seen.model_dump(mode="json")}
        if below:
            return failed(f"{below}, and the contract asks for more", FILE_NAME, **found)
        return _gpu_tests(project, environment, found)


def _without_gpu(project: Project) -> Finding:
    marked = marks(project.root, "gpu")
    if marked:
        first = marked[0]
        reason = f"{first.file}:{first.line} is marked gpu and no machine runs it: the contract has no tests.gpu"
        return failed(reason, *marked[:MOST])
    return passed("the contract asks for no GPU, and no test does")


def _gpu_tests(project: Project, environment: Environment, found: dict[str, Any]) -> Finding:
    folders = [folder for folder in (UNIT, INTEGRATION) if (project.root / folder).is_dir()]
    if not folders:
        return failed(f"there are no tests: {UNIT} and {INTEGRATION} are missing", **found)
    ran = run_tests(project, environment, folders, gpu=True)
    judged = _judged(folders, ran)
    evidence = {**found, "peak_memory": ran.peak, **judged.evidence}
    if judged.outcome is not Outcome.PASSED:
        return replace(judged, evidence=evidence)
    skipped = [case for case in ran.cases if case.outcome == "skipped"]
    if skipped:
        return failed(f"{skipped[0].place} {skipped[0].name} was skipped: {skipped[0].message}", **evidence)
    if not ran.peak:
        return failed("the tests marked gpu passed, and none of them put anything on a GPU", **evidence)
    device = found["devices"][0]["name"]
    return passed(f"{judged.reason} on {device}, driver {found['driver']}, with {ran.peak:.0f} MiB at most", **evidence)


def _tests(project: Project, environment: Environment, folder: str) -> Finding:
    if not (project.root / folder).is_dir():
        return failed(f"there are no tests: {folder} is missing", folder)
    return _judged([folder], run_tests(project, environment, [folder]))


def _judged(folders: Sequence[str], ran: Ran) -> Finding:
    where, cases = " and ".join(folders), ran.cases
    if ran.trouble:
        return failed(ran.trouble, *folders, **({} if ran.code is None else {"exit_status": ran.code}))
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
        return failed(f"none of {len(cases)} tests in {where} passed: all were skipped", *folders, **evidence)
    if ran.code:
        return failed(f"pytest ended with exit status {ran.code}: {ran.tail}", *folders, **evidence)
    skips = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    return passed(f"{counts['passed']} tests passed{skips}", **evidence)
