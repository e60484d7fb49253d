"""OPS: what the service is run with, and watched by, fits what the contract promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beampermit.contract import FILE_NAME, Contract
from beampermit.errors import BadInput, BeampermitError, Problem, counted, several
from beampermit.interlocks.interlock import Finding, Interlock, bad_input_fails, failed, located, passed
from beampermit.project import Project
from beampermit.verdicts.evidence import CountedAlarms, LimitChecks

if TYPE_CHECKING:
    from beampermit.datasets.tables import Table
    from beampermit.monitoring.limits import Limits

SHOWN = 4
"""Differences named in a reason; the verdict's places have all."""


class OPS001(Interlock):
    "Monitoring limits are those of the reference split"

    decided_by = ("tree", "named")

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """`dvc repro evaluate` writes the file `monitoring.limits` of `contract.yaml` from the split
        `monitoring.reference`; it is never edited. It must have a limit of everything that is monitored: limits of
        inputs are computed again from the split, and those of outputs may not rise while the answers stay. Limits from
        recorded data belong into the file `monitoring.calibration`, which `beampermit backtest` writes: they may be
        looser than the base branch's, and the verdict then says so, but not so loose that nothing can exceed them.
        A reference whose rows are far sparser than those of the service gives limits that sound windows may exceed;
        the verdict says so until there is a calibration. The report shows what changed, and the alarms that old and new
        limits give on the last month of the record `monitoring.recorded`, counted here; without a record, what the
        author's backtest said of it."""
        from beampermit.interlocks.data.work_tree import require_present
        from beampermit.monitoring import judged_limits
        from beampermit.monitoring.limit_changes import compare_limits
        from beampermit.monitoring.limits import read_limits

        path, calibration = contract.monitoring.limits, contract.monitoring.calibration
        before = _limits_before(project, base_contract)
        if not (project.root / path).is_file():
            served = contract.serving.deployment or base_contract.serving.deployment
            if served is None and before is None:
                return passed(f"there is no {path}, and {FILE_NAME} names no deployment files: nothing is monitored")
            return failed(f"{path} is missing", path)
        with bad_input_fails():
            limits = read_limits(project.root, contract)
        wrong = [Problem(reason, path) for reason in judged_limits.of_other_signals(limits, contract)]
        span = None
        if not wrong:
            split = contract.dataset.splits[contract.monitoring.reference]
            require_present(project, [split])
            table = _table(project, contract)
            inputs = judged_limits.read_reference(table, contract)
            span = judged_limits.span_of_windows(table, contract, limits.window)
            wrong += [Problem(reason, path) for reason in judged_limits.of_reference(limits, contract, inputs)]
        if before:
            wrong += [Problem(reason, path) for reason in judged_limits.moved(limits, before)]
        wrong += [Problem(reason, calibration) for reason in judged_limits.unreachable(limits)]
        looser = tuple(judged_limits.looser(limits, before)) if before else ()
        changes = compare_limits(limits, before) if before else None
        if changes and before and not wrong:
            changes = changes.model_copy(update={"counted": _counted(project, limits, before)})
        evidence = LimitChecks(
            limits=len(limits.keys), calibrated=len(limits.calibrated), looser=looser, changes=changes
        )
        if wrong:
            return failed(several([str(problem) for problem in wrong], SHOWN), *located(wrong), evidence=evidence)
        reason = f"{counted(len(limits.keys), 'limit')} from {counted(limits.rows, 'row')} of {limits.split}"
        if limits.calibrated:
            reason += f", {len(limits.calibrated)} of them calibrated"
        if span and span > judged_limits.SPARSE * contract.monitoring.window and not limits.calibrated:
            reason += (
                f"; {counted(limits.window, 'row')} of it span {span / 3600:.3g} h, and monitoring.window is"
                f" {contract.monitoring.window / 3600:.3g} h: sound windows may be beyond these limits,"
                " see `beampermit backtest` first"
            )
        if never := [*judged_limits.blind(limits)]:
            reason += f"; nothing can exceed those of {several(never, SHOWN)}, for the reference has windows as bad"
        if looser:
            reason += f"; looser than on the base branch: {several(looser, SHOWN)}"
        return passed(reason, evidence)


class OPS002(Interlock):
    "The deployment files say what the contract says"

    decided_by = ("tree",)

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """`beampermit deployment` writes the files that say something else anew; restore in them what is your
        laboratory's. What the contract decides is compared: names and PVs, alarm limits and what operators read,
        memory, probes, and that nobody writes unless named. User, folders, image, layout and further PVs are yours.
        The folder is `serving.deployment` in `contract.yaml`; a pull request that takes this key away is still held to
        the base branch's."""
        from beampermit.deployment.deployment import deployment_of
        from beampermit.deployment.files import problems

        folder = contract.serving.deployment or base_contract.serving.deployment
        if folder is None:
            return passed(f"{FILE_NAME} names no folder of deployment files (serving.deployment)")
        with bad_input_fails():
            files = problems(project, folder, deployment_of(project))
        tracked = project.git.work_files()
        wrong = [problem for found in files.values() for problem in found]
        names = (f"{folder}/{name}" for name, found in files.items() if not found)
        wrong += [Problem("git ignores this file", name) for name in names if name not in tracked]
        if wrong:
            reasons = [str(problem) for problem in wrong]
            return failed(several(reasons, SHOWN), *located(wrong), differences=len(wrong))
        return passed(f"{counted(len(files), 'file')} in {folder}/")


def _limits_before(project: Project, base_contract: Contract) -> Limits | None:
    """The limits of the base branch; None where it has none of this form."""
    from beampermit.changes.base_and_head import BaseAndHead
    from beampermit.monitoring.limits import limits_of_bytes

    sides, monitoring = BaseAndHead(project), base_contract.monitoring
    content, calibration = sides.before(monitoring.limits), sides.before(monitoring.calibration)
    if content is None:
        return None
    try:
        return limits_of_bytes(content.encode(), calibration.encode() if calibration else None, base_contract)
    except BadInput:
        return None


def _counted(project: Project, limits: Limits, before: Limits) -> CountedAlarms | None:
    """On the record of the base branch; where it names none, on that of the pull request."""
    from beampermit.changes.base_and_head import BaseAndHead
    from beampermit.changes.data import changed_output
    from beampermit.changes.incomparable import changed_model_files
    from beampermit.interlocks.data.work_tree import find_unversioned
    from beampermit.monitoring.backtest.counted import count_alarms

    contract, base = project.contract, project.base_contract
    record = base.monitoring.recorded or contract.monitoring.recorded
    if record is None:
        return None
    changed, found, why = True, None, ""
    place = project.path(record)
    try:
        sides = BaseAndHead(project)
        changed = changed_output(sides, record)
        files = [path.relative_to(project.root).as_posix() for path in place.rglob("*") if path.is_file()]
        if find_unversioned(project, files or [record]):
            why = "neither git nor DVC tracks it"
        else:
            # The record has the answers of the model that served: they say nothing of how another one answers.
            models = tuple(f"{one.model.path}/" for one in (base, contract))
            other = any(path.startswith(models) for path in changed_model_files(sides, base, contract))
            found = count_alarms(place, contract, limits, before, base, of_inputs=other)
    except BeampermitError as error:
        why = str(error)
    except Exception as error:  # whatever its author wrote into the record: it is no verdict on the limits
        why = f"nothing of it can be judged: {type(error).__name__} {[*str(error).splitlines(), ''][0]}".rstrip()
    return CountedAlarms(record=record, changed=changed, found=found, why=why)


def _table(project: Project, contract: Contract) -> Table:
    from beampermit.datasets.tables import open_tables

    name = contract.monitoring.reference
    return open_tables(project.root, {name: contract.dataset.splits[name]})[0]
