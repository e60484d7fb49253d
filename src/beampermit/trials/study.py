"""The study of a project as it is now, in its storage: opened to go on, or read to be shown."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from beampermit.errors import BadInput, BeampermitError, several
from beampermit.git import Git
from beampermit.project import Project
from beampermit.reading import first_fault
from beampermit.record import Record
from beampermit.trials.journal import JournalTrial, uncollected
from beampermit.trials.records import State, Study, Trial
from beampermit.trials.settings import parameters_of
from beampermit.trials.space import Space
from beampermit.trials.storage import address_of, described, folder_of, opened, opened_to_read, storage_errors

if TYPE_CHECKING:
    import optuna

    from beampermit.trials.binding import Subject

OWN = "beampermit"
"""What we keep of a study and of a trial, beside what optuna keeps."""
BEAT = "run."
"""With the name of a run: when it was last seen."""
RUN = "run"
"""Of a trial: the run that has it."""
NAMES = {"COMPLETE": State.COMPLETE, "PRUNED": State.PRUNED, "FAIL": State.FAILED}


class Kept(Record):
    """What we keep of a trial that ended."""

    metrics: dict[str, float] = Field(default_factory=dict)
    curve: tuple[tuple[float, ...], ...] = ()
    seconds: float | None = None
    machine: str = ""
    reason: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Opened:
    """A study to ask and to tell; `study` is as it was when it was opened, without its trials."""

    subject: Subject
    study: Study
    told: optuna.Study
    address: str
    is_new: bool


def read_study(project: Project, name: str | None = None, storage: str | None = None) -> Study:
    """A study with its trials: the one called `name`, else that of the data, code, lock and space as they are now.

    `storage` is the address of a database, else the environment or the user's configuration says which, else it is a
    file in the project's own folder. Raises `BadInput` where there is no such study, and says which there are and what
    differs; `Outside` where the database does not answer.
    """
    subject = _subject(project) if name is None else None
    wanted = name or (subject.name if subject else "")
    model = project.contract.model.name
    with uncollected(), storage_errors(address_of(storage)):
        kept = opened_to_read(project, storage)
        found = _studies(kept, model)
        if wanted not in found:
            raise _absent(wanted, found, subject)
        number, study = found[wanted]
        trials = kept.get_all_trials(number, deepcopy=False)
        space = Space(parameters_of(study.space))
        shown = tuple([_trial(trial, study, space) for trial in trials])
    place = {"storage": described(project, storage), "folder": str(folder_of(project))}
    return study.model_copy(update={**place, "trials": shown})


def _subject(project: Project) -> Subject:
    from beampermit.trials.binding import subject_of  # who names a study waits for none of what this imports

    return subject_of(project)


def list_studies(project: Project, storage: str | None = None) -> tuple[str, ...]:
    """Names of the project's studies, the newest first."""
    kept = opened_to_read(project, storage)
    with storage_errors(address_of(storage)):
        return tuple(_studies(kept, project.contract.model.name))


def open_study(project: Project, storage: str | None = None) -> Opened:
    """The study of the project as it is now, made if there is none. Raises as `subject_of` and `read_study`."""
    import optuna

    quiet_optuna()
    subject = _subject(project)
    kept = opened(project, storage)
    address = address_of(storage)
    settings = subject.settings
    with storage_errors(address):
        found = _studies(kept, project.contract.model.name)
        is_new = subject.name not in found
        if is_new:
            directions: list[Any] = [objective.direction.value for objective in settings.objectives]
            told = optuna.create_study(
                storage=kept, study_name=subject.name, load_if_exists=True, directions=directions
            )
        else:
            told = optuna.load_study(study_name=subject.name, storage=kept)
        known = _parsed(told.user_attrs)
        study = (known or _new(subject)).model_copy(
            update={"sampler": str(settings.sampler), "pruner": str(settings.pruner), "seed": settings.seed}
        )
        if study != known:  # also where the run that made it was killed
            told.set_user_attr(OWN, study.model_dump(mode="json"))
    place = {"storage": described(project, storage), "folder": str(folder_of(project))}
    return Opened(subject, study.model_copy(update=place), told, address, is_new)


def read_trials(kept: Opened, numbers: Iterable[int]) -> list[Trial]:
    """Those of an open study with these numbers."""
    storage, study = kept.told._storage, kept.told._study_id
    space = kept.subject.settings.space
    ids = [storage.get_trial_id_from_study_id_trial_number(study, number) for number in numbers]
    return [_trial(storage.get_trial(one), kept.study, space) for one in ids]


def others(project: Project, kept: Opened) -> list[str]:
    """The project's other studies, the newest first, each with what differs from it."""
    from beampermit.trials.binding import differences

    found = _studies(kept.told._storage, project.contract.model.name)
    return [
        f"{name}: {'; '.join(differences(kept.subject.bound, study))}"
        for name, (_, study) in found.items()
        if name != kept.study.name
    ]


def quiet_optuna() -> None:
    """It logs each step of its own, and warns of what is experimental."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.logging.disable_propagation()
    logging.getLogger("alembic").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def now() -> str:
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    """Such as `2026-11-29T10:00:00Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _new(subject: Subject) -> Study:
    settings = subject.settings
    return Study(
        name=subject.name,
        bound=subject.bound,
        commit=_commit(subject.project.git),
        began=now(),
        space=settings.written,
        objectives=settings.objectives,
        sampler="",
        pruner="",
        seed=settings.seed,
    )


def _commit(git: Git) -> str:
    try:
        return git.resolve("HEAD") or ""
    except BeampermitError:
        return ""


def _studies(kept: Any, model: str) -> dict[str, tuple[int, Study]]:
    """Name -> number in the storage, and what we kept, of the studies of a model, the newest first."""
    found: dict[str, tuple[int, Study]] = {}
    for one in kept.get_all_studies():
        if one.study_name.startswith(f"{model}-") and (study := _parsed(one.user_attrs)):
            found[one.study_name] = one._study_id, study
    return dict(sorted(found.items(), key=lambda item: item[1][1].began, reverse=True))


def _parsed(attributes: Mapping[str, Any]) -> Study | None:
    """None where it is no study of ours."""
    try:
        return Study.model_validate(attributes.get(OWN))
    except ValidationError:
        return None


def _absent(wanted: str, found: dict[str, tuple[int, Study]], subject: Subject | None) -> BadInput:
    if not found:
        return BadInput("this project has no study yet", hint="beampermit trials run --trials 50")
    if subject is None:
        return BadInput(f"there is no study {wanted}; there are {several([*found], 5)}")
    from beampermit.trials.binding import differences

    name, (_, study) = next(iter(found.items()))
    why = ", ".join(differences(subject.bound, study))
    return BadInput(
        f"there is no study of the data, code, lock and space as they are now ({wanted}); the newest, {name}, is of "
        f"{why}",
        hint=f"beampermit trials show --study {name}",
    )


def _trial(trial: optuna.trial.FrozenTrial | JournalTrial, study: Study, space: Space) -> Trial:
    try:
        kept = Kept.model_validate(trial.user_attrs.get(OWN) or {})
    except ValidationError as error:
        kept = Kept(reason=f"what is kept of it cannot be read: {first_fault(error)}")
    state = NAMES.get(trial.state.name, State.RUNNING)
    names = [objective.name for objective in study.objectives]
    values = dict(zip(names, trial.values or (), strict=False)) if state is State.COMPLETE else {}
    began = trial.datetime_start
    return Trial.model_construct(
        number=trial.number,
        state=state,
        params=space.drawn(trial.params),
        values=values,
        metrics=kept.metrics,
        curve=kept.curve,
        seconds=kept.seconds,
        machine=kept.machine,
        began=_text(began) if began else "",
        reason=kept.reason,
        unit=kept.unit,
    )
