"""Runs interlocks: picks them, orders them by `requires`, gives each its inputs, makes verdicts."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from graphlib import TopologicalSorter

from beampermit import __version__
from beampermit.errors import BeampermitError, Failed, of_the_machine
from beampermit.interlocks.families import load_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.interlock import Absent, Finding, Interlock
from beampermit.interlocks.reuse import Reuse
from beampermit.progress import Progress, silent
from beampermit.project import Project
from beampermit.verdicts.verdict import Location, Outcome, Verdict, VerdictFile, Where


def check(
    project: Project,
    interlocks: Iterable[type[Interlock]],
    *,
    fresh: bool = True,
    progress: Progress = silent,
) -> list[Verdict]:
    """Run `interlocks` on a project. With `fresh=False`, slow verdicts are reused while nothing has changed."""
    return run(interlocks, Inputs(project=project), progress=progress, reuse=None if fresh else Reuse.of(project))


def run(
    interlocks: Iterable[type[Interlock]],
    inputs: Inputs,
    *,
    progress: Progress = silent,
    reuse: Reuse | None = None,
) -> list[Verdict]:
    """Run `interlocks` in an order that `requires` allows; give verdicts in the order that was asked for.

    An interlock whose requirement, among those asked for, did not pass is skipped.
    """
    chosen = {cls.id(): cls for cls in interlocks}
    graph = {id: {need for need in cls.requires if need in chosen} for id, cls in chosen.items()}
    done: dict[str, Verdict] = {}
    for id in TopologicalSorter(graph).static_order():
        progress(id, len(done), len(chosen))
        unmet = [done[need] for need in graph[id] if not done[need].passed]
        if later := _put_off(chosen[id], inputs):
            done[id] = _verdict(chosen[id], later, 0, 0.0)
        else:
            done[id] = _waiting(chosen[id], unmet) if unmet else _one(chosen[id], inputs, reuse)
    return [done[id] for id in chosen]


def verdict_file(project: Project, verdicts: Iterable[Verdict]) -> VerdictFile:
    """Bind verdicts to the commit and tree they were made for, and the machine they were made on."""
    import os
    import socket

    server, repository, run = (os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return VerdictFile(
        checker=__version__,
        commit=project.git.head(),
        tree=project.git.work_tree(),
        base=project.base,
        where=Where(
            host=socket.gethostname(),
            system=platform.platform(),
            python=platform.python_version(),
            run=f"{server}/{repository}/actions/runs/{run}" if run else "",
        ),
        verdicts=tuple(verdicts),
    )


def put_off(project: Project) -> list[str]:
    """Ids of the interlocks that the base branch's contract puts off until the release, of which this is none."""
    inputs = Inputs(project=project)
    return [id for id, cls in load_interlocks().items() if _put_off(cls, inputs)]


def _put_off(cls: type[Interlock], inputs: Inputs) -> Finding | None:
    """Never a pull request's own contract decides that, and never on the protected branch."""
    if not cls.waits:
        return None
    try:
        rules, merged = inputs["base_contract"].reproducibility, inputs["project"].merged
    except BeampermitError:
        return None
    if getattr(rules, cls.waits) != "release" or merged:
        return None
    words = f"looked at when it is released, as reproducibility.{cls.waits} of the base branch's contract says"
    return Finding(Outcome.SKIPPED, words, until="release")


def _one(cls: type[Interlock], inputs: Inputs, reuse: Reuse | None) -> Verdict:
    if reuse and cls.slow and (kept := reuse.find(cls.id())):
        return kept
    start = time.perf_counter()
    try:
        finding, code = cls().check(**inputs.of(cls.wants())), None
    except Absent as error:
        finding, code = Finding(Outcome.SKIPPED, _line(error)), error.exit_code
    except Failed as error:
        at = (Location(file=error.file, line=error.line),) if error.file else ()
        finding, code = Finding(Outcome.FAILED, _line(error), at), None
    except BeampermitError as error:
        finding, code = Finding(Outcome.ERROR, _line(error)), error.exit_code
    except Exception as error:
        said = of_the_machine(error) if isinstance(error, OSError) else None
        words = _line(said) if said else f"the check itself broke: {type(error).__name__}: {error}"
        finding, code = Finding(Outcome.ERROR, words), 4
    verdict = _verdict(cls, finding, code, time.perf_counter() - start)
    if reuse and cls.slow and verdict.passed:
        reuse.keep(verdict)
    return verdict


def _waiting(cls: type[Interlock], unmet: list[Verdict]) -> Verdict:
    """The verdict on an interlock whose requirements did not pass; it names the first causes, not what waits itself."""
    causes = sorted({id for verdict in unmet for id in verdict.waits_for or (verdict.id,)})
    verdict = _verdict(cls, Finding(Outcome.SKIPPED, f"waits for {' and '.join(causes)}"), None, 0.0)
    return verdict.model_copy(update={"waits_for": tuple(causes)})


def _verdict(cls: type[Interlock], finding: Finding, code: int | None, seconds: float) -> Verdict:
    passed = finding.outcome is Outcome.PASSED
    return Verdict(
        id=cls.id(),
        title=cls.title(),
        outcome=finding.outcome,
        reason=finding.reason,
        fix="" if passed else cls.fix(),
        evidence=finding.evidence,
        locations=finding.locations,
        seconds=round(seconds, 3),
        until=finding.until,
        exit_code=0 if passed else 1 if code is None else code,
    )


def _line(error: BeampermitError) -> str:
    text = " ".join(str(error).split())
    return f"{text}; run `{error.hint}`" if error.hint else text
