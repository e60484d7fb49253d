"""One call of `beampermit trials run`: the study, its tree and environment, its trials, and its runs in MLflow."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Any

from beampermit.compute.executor import open_executor
from beampermit.compute.resources import Resources
from beampermit.errors import BadInput, counted
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.registry.mlflow import public_address
from beampermit.reproduction.environments import reused_environment
from beampermit.trials.recording import Recording
from beampermit.trials.records import State, Study
from beampermit.trials.running import Counts, Run, require_some
from beampermit.trials.storage import folder_of
from beampermit.trials.study import open_study, others, read_study
from beampermit.trials.tracking import tracking_uri


@dataclass(frozen=True)
class Session:
    """What one call did."""

    study: Study
    """With all its trials, as it is now."""
    counts: Counts
    """Of this call alone."""
    is_new: bool
    others: tuple[str, ...]
    """Of a new study, the earlier ones of the project, and what differs."""
    mlflow: str
    """Where its runs are; empty where none were wanted."""
    problem: str
    """Why MLflow lacks some; empty where it has all."""
    seconds: float


def run_study(
    project: Project,
    trials: int,
    resources: Resources,
    progress: Progress,
    *,
    storage: str | None = None,
    mlflow: bool = True,
    variant: str = "",
) -> Session:
    """Go on with the study of the project as it is now, until it has as many trials.

    Raises `Failed` where all trials fail, and as `open_study`, the executor and the installation of the environment.
    """
    from beampermit.trials.tree import cut_tree

    if trials < 1:
        raise BadInput(f"--trials is the number of trials in all, and is {trials}")
    began = time.monotonic()
    work = resources.folder()
    opening = open_executor(resources.on, resources, work)  # says what is wrong with --on before anything is done
    progress("opening the study")
    opened = open_study(project, storage)
    uri = tracking_uri(folder_of(project)) if mlflow else ""
    progress("laying out what trials read")
    tree = cut_tree(opened.subject, work)
    variables = project.base_contract.environment.variables
    environment = reused_environment(project.root, tree, progress, variant).passing(variables)
    run = Run(opened, trials, tree, work, environment, at_once=resources.at_once)
    recording = Recording(opened, uri, run.name)
    run.told = recording.add
    try:
        with opening as executor:
            counts = run.perform(executor, progress)
    except BaseException:
        recording.stop()
        raise
    problem = recording.finish(progress)
    require_some(run)
    return Session(
        study=read_study(project, opened.study.name, storage),
        counts=counts,
        is_new=opened.is_new,
        others=tuple(others(project, opened)) if opened.is_new else (),
        mlflow=uri and public_address(uri),
        problem=problem,
        seconds=time.monotonic() - began,
    )


def text(session: Session) -> str:
    """What the call did, for a person."""
    study, counts = session.study, session.counts
    lines = [f"study {study.name}: {_states(study)}"]
    if session.is_new:
        lines[0] += "; it is new"
        lines += [f"  another study: {line}" for line in session.others[:3]]
    if counts.ended:
        details = [f"{counts.reused} had their result" if counts.reused else ""]
        details += [f"{counts.taken_over} of a run that was killed" if counts.taken_over else ""]
        more = "".join(f", {detail}" for detail in details if detail)
        lines.append(f"this run: {counted(counts.ended, 'trial')}{more}, in {session.seconds:.0f} s")
    else:
        lines.append("this run: nothing to do, for --trials is the number in all")
    if best := (study.ranked()[:1] if len(study.objectives) == 1 else ()):
        name = study.objectives[0].name
        lines.append(f"best: trial {best[0].number}, {name} {best[0].values[name]:.6g}")
        lines += [f"  {path}: {json.dumps(value)}" for path, value in best[0].params.items()]
    if counts.failed:
        lines.append(f"{counted(counts.failed, 'trial')} failed; {counts.last_reason}")
    if counts.unmeasured:
        lines.append(f"metrics of the checker are missing: {counts.unmeasured}")
    if session.problem:
        lines.append(f"MLflow ({session.mlflow}) lacks runs, which the next run writes: {session.problem}")
    lines.append("next: beampermit trials show")
    return "\n".join(lines)


def as_json(session: Session) -> dict[str, Any]:
    study = session.study
    best = study.ranked()[:1] if len(study.objectives) == 1 else ()
    return {
        "study": study.name,
        "new": session.is_new,
        "trials": {state.value: len(study.of_state(state)) for state in State},
        "run": vars(replace(session.counts)),
        "best": best[0].model_dump(mode="json") if best else None,
        "mlflow": session.mlflow,
        "mlflow_problem": session.problem,
        "storage": study.storage,
        "seconds": round(session.seconds, 3),
    }


def _states(study: Study) -> str:
    found = [(state.value, len(study.of_state(state))) for state in State]
    return ", ".join(f"{count} {name}" for name, count in found if count) or "no trial"
