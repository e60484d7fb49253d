"""Runs interlocks: orders them by `requires`, gives each its inputs, and makes verdicts."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from graphlib import TopologicalSorter

from beampermit import __version__
from beampermit.errors import BeampermitError, Failed, from_os_error, is_command
from beampermit.interlocks.families import load_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.interlock import Finding, Interlock, MissingInput, failed, located
from beampermit.interlocks.own.lock import lock_of
from beampermit.interlocks.reuse import Reuse
from beampermit.progress import Progress, silent
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict, VerdictFile, Where


def check(
    project: Project,
    interlocks: Iterable[type[Interlock]],
    *,
    fresh: bool = True,
    progress: Progress = silent,
) -> list[Verdict]:
    """Run `interlocks` on a project. With `fresh=False`, verdicts are reused while nothing has changed.

    Raises `BadInput` for a contract that cannot be read, before anything runs: each interlock would say it again.
    """
    interlocks = tuple(interlocks)
    if project.has_contract and any(cls.needs_contract for cls in interlocks):
        _ = project.contract
    verdicts = run(interlocks, Inputs(project=project), progress=progress, reuse=None if fresh else Reuse.of(project))
    of_repository = {cls.id() for cls in interlocks if cls.of_repository}
    return [v if v.id in of_repository else _in_repository(project, v) for v in verdicts]


def run(
    interlocks: Iterable[type[Interlock]],
    inputs: Inputs,
    *,
    progress: Progress = silent,
    reuse: Reuse | None = None,
) -> list[Verdict]:
    """Run `interlocks` in an order that `requires` allows; give verdicts in the order of `interlocks`.

    An interlock waits, and is skipped, where one that it requires is among them and does not pass.
    """
    by_id = {cls.id(): cls for cls in interlocks}
    graph = {id: cls.requires & by_id.keys() for id, cls in by_id.items()}
    verdicts: dict[str, Verdict] = {}
    inputs.give(asked=frozenset(by_id))
    try:
        for id in TopologicalSorter(graph).static_order():
            progress(id, len(verdicts), len(by_id))
            unmet = [verdicts[required] for required in graph[id] if not verdicts[required].passed]
            if finding := _put_off(by_id[id], inputs):
                verdicts[id] = _verdict(by_id[id], finding, 0, 0.0)
            else:
                verdicts[id] = _waiting(by_id[id], unmet) if unmet else _check(by_id[id], inputs, reuse)
    finally:
        if reuse:
            reuse.save(inputs)
    return [verdicts[id] for id in by_id]


def verdict_file(project: Project, verdicts: Iterable[Verdict]) -> VerdictFile:
    """Verdicts with the commit and tree that they are about, and the machine that made them."""
    verdicts = tuple(verdicts)
    lock = lock_of(project) if any(verdict.by for verdict in verdicts) else None
    return VerdictFile(
        checker=__version__,
        commit=project.git.head(),
        tree=project.git.work_tree(),
        base=project.base,
        base_contract=project.base_contract_digest,
        packages=lock.packages if lock else (),
        where=Where.here(),
        verdicts=verdicts,
    )


def _in_repository(project: Project, verdict: Verdict) -> Verdict:
    """The verdict with the places of a project in a folder as GitHub and the reader of a diff know them."""
    if not project.git.prefix:
        return verdict
    places = (place.model_copy(update={"file": project.in_repository(place.file)}) for place in verdict.locations)
    return verdict.model_copy(update={"locations": tuple(places)})


def put_off(project: Project) -> list[str]:
    """Ids of interlocks that the base branch's contract puts off until the release; none on the protected branch."""
    inputs = Inputs(project=project)
    return [id for id, cls in load_interlocks().items() if _put_off(cls, inputs)]


def _put_off(cls: type[Interlock], inputs: Inputs) -> Finding | None:
    if not cls.put_off_by:
        return None
    try:
        rules, merged = inputs["base_contract"].reproducibility, inputs["project"].merged
    except BeampermitError:
        return None
    if not rules.put_off(cls.put_off_by) or merged:
        return None
    reason = f"put off until the release: reproducibility.{cls.put_off_by} in the base branch's contract"
    return Finding(Outcome.SKIPPED, reason, until="release")


def _check(cls: type[Interlock], inputs: Inputs, reuse: Reuse | None) -> Verdict:
    key = reuse.key(cls, inputs) if reuse else None
    if reuse and key and (kept := reuse.find(cls.id(), key)):
        return kept
    verdict = _judged(cls, inputs)
    if reuse and key:
        reuse.keep(cls, verdict, key, inputs)
    return verdict


def _judged(cls: type[Interlock], inputs: Inputs) -> Verdict:
    start = time.perf_counter()
    try:
        finding = cls().check(**inputs.of(cls.inputs()))
        return _verdict(cls, finding, None, time.perf_counter() - start)
    except MissingInput as error:
        finding, code = Finding(Outcome.SKIPPED, _line(error)), error.exit_code
    except Failed as error:
        problems = (replace(problem, message=" ".join(problem.message.split())) for problem in error.problems)
        finding, code = failed(_line(error), *located(problems)), None
    except BeampermitError as error:
        finding, code = Finding(Outcome.ERROR, _line(error)), error.exit_code
    except (Exception, SystemExit) as error:
        outside = from_os_error(error) if isinstance(error, OSError) else None
        reason = _line(outside) if outside else f"internal error in this check: {type(error).__name__}: {error}"
        finding, code = Finding(Outcome.ERROR, reason), 4
    return _verdict(cls, finding, code, time.perf_counter() - start)


def _waiting(cls: type[Interlock], unmet: list[Verdict]) -> Verdict:
    """Names the first causes, never an interlock that waits itself."""
    causes = sorted({id for verdict in unmet for id in verdict.waits_for or (verdict.id,)})
    verdict = _verdict(cls, Finding(Outcome.SKIPPED, f"waits for {' and '.join(causes)}"), None, 0.0)
    return verdict.model_copy(update={"waits_for": tuple(causes)})


def _verdict(cls: type[Interlock], finding: Finding, code: int | None, seconds: float) -> Verdict:
    passed = finding.outcome is Outcome.PASSED
    return Verdict(
        id=cls.id(),
        title=cls.title(),
        by=cls.package,
        outcome=finding.outcome,
        reason=finding.reason,
        fix=finding.fix or cls.fix() if finding.outcome is Outcome.FAILED else "",  # else the reason says what to do
        evidence=finding.evidence,
        locations=finding.locations,
        seconds=round(seconds, 3),
        until=finding.until,
        exit_code=0 if passed else 1 if code is None else code,
    )


def _line(error: BeampermitError) -> str:
    text = " ".join(str(error).split())
    if not error.hint:
        return text
    return f"{text}; run `{error.hint}`" if is_command(error.hint) else f"{text}; {error.hint}"
