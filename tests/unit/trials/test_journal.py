"""The journal is read as optuna reads it: studies, trials in every state, and what two writers said at once."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from beampermit.trials.journal import Journal, OtherJournal

SPACE = {
    "train.rate": FloatDistribution(1e-4, 1.0, log=True),
    "train.hidden": IntDistribution(4, 64),
    "train.steps": CategoricalDistribution(["[10, 20]", "[30]", '"a"']),
    "train.features=line": CategoricalDistribution([True, False]),
}


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("journal") / "journal.log"
    written(file)
    return file.read_bytes()


def written(file: Path) -> None:
    """Two studies and one that is gone; trials complete, pruned, failed, running and waiting."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = random.Random(1)  # noqa: S311
    storage = JournalStorage(JournalFileBackend(str(file)))
    made: dict[str, list[Any]] = {"a-1": ["minimize"], "gone": ["minimize"], "b-2": ["minimize", "maximize"]}
    for name, directions in made.items():
        study = optuna.create_study(storage=storage, study_name=name, directions=directions)
        study.set_user_attr("beampermit", {"name": name})
        study.set_user_attr("run.x", [1, 2])
        study.set_user_attr("run.x", None)
        for number in range(12):
            trial = study.ask(SPACE)
            trial.set_user_attr("run", f"r{number}")
            trial.set_user_attr("beampermit", {"seconds": rng.random()})
            if number % 4 == 0:
                study.tell(trial, [rng.random() for _ in directions])
            elif number % 4 == 1:
                study.tell(trial, state=TrialState.FAIL)
            elif number % 4 == 2:
                if len(directions) == 1:
                    trial.report(0.5, 1)
                study.tell(trial, state=TrialState.PRUNED)
        study.enqueue_trial({"train.hidden": 8})
        params = {"train.rate": 0.5, "train.hidden": 5, "train.steps": "[30]", "train.features=line": False}
        done = create_trial(params=params, distributions=SPACE, values=[0.1] * len(directions), user_attrs={"run": "z"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.add_trial(done)
    optuna.delete_study(study_name="gone", storage=storage)


def seen(storage: Any) -> dict[str, Any]:
    return {
        study.study_name: (
            study.user_attrs,
            [
                (trial.number, trial.state.name, trial.params, trial.values, trial.user_attrs,
                 trial.datetime_start and trial.datetime_start.astimezone().timestamp())
                for trial in storage.get_all_trials(study._study_id, deepcopy=False)
            ],
        )
        for study in storage.get_all_studies()
    }  # fmt: skip


def test_it_reads_what_optuna_reads(tmp_path: Path, journal: bytes) -> None:
    file = tmp_path / "journal.log"
    file.write_bytes(journal)
    found = seen(Journal(file))
    assert found == seen(JournalStorage(JournalFileBackend(str(file))))
    assert {state for _, trials in found.values() for _, state, *_ in trials} == {state.name for state in TrialState}
    running = next(one for one in JournalStorage(JournalFileBackend(str(file))).get_all_trials(0) if one.number == 3)
    JournalStorage(JournalFileBackend(str(file))).set_trial_intermediate_value(running._trial_id, 1, float("nan"))
    assert b"NaN" in file.read_bytes(), "which is no JSON, and optuna writes it"
    assert seen(Journal(file)) == found


def test_what_comes_after_the_end_of_a_trial_changes_nothing(tmp_path: Path, journal: bytes) -> None:
    file = tmp_path / "journal.log"
    file.write_bytes(journal)
    day = "2026-11-29"
    late = [
        {"op_code": 6, "worker_id": "other", "trial_id": 0, "state": 3, "values": None, "datetime_complete": day},
        {"op_code": 8, "worker_id": "other", "trial_id": 0, "user_attr": {"beampermit": {"seconds": 7}}},
        {"op_code": 6, "worker_id": "other", "trial_id": 3, "state": 0, "values": None, "datetime_start": day},
        {"op_code": 8, "worker_id": "other", "trial_id": 9_999, "user_attr": {"x": 1}},
        {"op_code": 0, "worker_id": "other", "study_name": "a-1", "directions": [2]},
        {"op_code": 4, "worker_id": "other", "study_id": 99, "datetime_start": None},
        {"op_code": 2, "worker_id": "other", "study_id": 99, "user_attr": {"x": 1}},
    ]  # fmt: skip
    with file.open("a") as stream:
        stream.writelines(json.dumps(entry) + "\n" for entry in late)
    assert seen(Journal(file)) == seen(JournalStorage(JournalFileBackend(str(file))))


def test_a_torn_last_line_is_left_out_and_nothing_is_written(tmp_path: Path, journal: bytes) -> None:
    file = tmp_path / "journal.log"
    file.write_bytes(journal)
    whole = seen(Journal(file))
    with file.open("a") as stream:
        stream.write('{"op_code":4,"worker')
    before = file.read_bytes()
    assert seen(Journal(file)) == whole
    assert file.read_bytes() == before
    assert Journal(tmp_path / "none" / "journal.log").get_all_studies() == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "line", ['{"op_code": 11}', "{", "[]", "{}", '{"op_code": 8, "trial_id": 3}', '{"op_code": 8, "trial_id": "3"}']
)
def test_what_is_not_known_is_left_to_optuna(tmp_path: Path, journal: bytes, line: str) -> None:
    file = tmp_path / "journal.log"
    file.write_bytes(journal)
    with file.open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(OtherJournal):
        Journal(file)
