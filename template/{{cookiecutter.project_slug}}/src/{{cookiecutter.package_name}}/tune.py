"""Search for better parameters, by the loss on the validation split, never on the test split.

Trials are kept in `tuning/journal.log`: run it again to continue, or several times at once to share the work.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import optuna
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from . import settings
from .train import fit, load
from .transforms import FEATURES

JOURNAL = Path("tuning/journal.log")


def suggest(trial: optuna.Trial, params: settings.Params) -> settings.Params:
    """params.yaml with other features, size, learning rate and number of epochs."""
    features = tuple(name for name in FEATURES if trial.suggest_categorical(name, [True, False])) or ("line",)
    training = {
        "hidden": trial.suggest_int("hidden", 4, 64, log=True),
        "epochs": trial.suggest_int("epochs", 10, 80, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 5e-4, 2e-2, log=True),
    }
    return params.model_copy(
        update={
            "transforms": settings.Transforms(features=features),
            "train": settings.Training(**{**params.train.model_dump(), **training}),
        }
    )


def main() -> None:
    """Run trials; print the best parameters as a params.yaml."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    params, train, validation = settings.params(), load("train"), load("validation")

    def objective(trial: optuna.Trial) -> float:
        trial_params = suggest(trial, params)
        _, curve = fit(train, validation, trial_params)
        trial.set_user_attr("params", trial_params.model_dump(mode="json"))
        return curve[-1][2]

    JOURNAL.parent.mkdir(exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(JOURNAL))),
        study_name="tune",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=options.seed),
    )
    study.optimize(objective, n_trials=options.trials)
    print(f"# validation loss {study.best_value:.5f} in trial {study.best_trial.number} of {len(study.trials)}")
    print(yaml.safe_dump(study.best_trial.user_attrs["params"], sort_keys=False), end="")


if __name__ == "__main__":
    main()
