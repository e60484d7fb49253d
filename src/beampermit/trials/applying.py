"""The parameters of a trial become those of the project, and git gets the summary of its study."""

from __future__ import annotations

from dataclasses import dataclass

from beampermit.errors import BadInput, Failed, several
from beampermit.files import write_bytes, write_json
from beampermit.project import Project
from beampermit.reading import decode
from beampermit.trials.binding import differences, subject_of
from beampermit.trials.front import front_of
from beampermit.trials.params_file import FILE as PARAMS
from beampermit.trials.params_file import with_values
from beampermit.trials.records import State, Study, Trial
from beampermit.trials.standing import outputs_of
from beampermit.trials.summary import FILE, Summary, summarise


@dataclass(frozen=True)
class Applied:
    """`written` are the files that are others than before."""

    trial: Trial
    summary: Summary
    written: tuple[str, ...]


def choose(study: Study, number: int | None) -> Trial:
    """The trial to apply: the best one, where none is named. Raises `BadInput`, `Failed` where none is complete."""
    if number is not None:
        trial = next((trial for trial in study.trials if trial.number == number), None)
        if trial is None:
            raise BadInput(f"study {study.name} has no trial {number}", hint="beampermit trials show")
        if trial.state is not State.COMPLETE:
            why = f": {trial.reason.strip().splitlines()[-1]}" if trial.reason.strip() else ""
            raise BadInput(f"trial {number} is {trial.state}, not complete{why}", hint="beampermit trials show")
        return trial
    front = [*front_of(study)]
    if not front:
        raise Failed(f"no trial of study {study.name} is complete", hint="beampermit trials show")
    if len(study.objectives) > 1 and len(front) > 1:
        numbers = ", ".join(str(trial.number) for trial in front[:10])
        raise BadInput(
            f"{len(front)} trials are on the front, and none is better than another in all objectives: {numbers}",
            hint=f"beampermit trials apply --trial {front[0].number}",
        )
    return front[0]


def apply(project: Project, study: Study, trial: Trial) -> Applied:
    """Write both files, each whole; a second time writes the same bytes. Raises `Failed` for a study of other data."""
    now = subject_of(project)
    if faults := differences(now.bound, study):
        raise Failed(
            f"study {study.name} is not of this project as it is now: {several(faults, 5)}",
            hint="beampermit trials run",
        )
    file = project.path(PARAMS)
    before = file.read_bytes()
    decode(before, PARAMS)  # says what is wrong; what is written has the line ends that the file has
    after = with_values(before.decode(), trial.params).encode()
    summary = summarise(study, trial, outputs_of(project, study.bound), _training_seed(project, trial))
    known, body = project.path(FILE), summary.model_dump(mode="json")
    old = known.read_bytes() if known.is_file() else b""
    write_json(known, body)  # first: of a kill in between, the report says that params.yaml is another
    if after != before:
        write_bytes(file, after)
    changed = {FILE: known.read_bytes() != old, PARAMS: after != before}
    return Applied(trial, summary, tuple(name for name, is_other in changed.items() if is_other))


def _training_seed(project: Project, trial: Trial) -> int | None:
    from beampermit.reproduction.retraining import committed_seed

    seed_at = project.contract.reproducibility.seed_at
    if any(seed_at == f"{PARAMS}:{path}" for path in trial.params):
        return None
    try:
        return committed_seed(project.root, seed_at)
    except BadInput:
        return None
