"""Search for better parameters, by the loss on the validation split, never on the test split.

`model.suggest` says where to look. Trials are kept in `tuning/journal.log`: run it again to continue, or several times
at once to share the work.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import optuna
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from .. import model
from . import contract
from .train import train_and_held_out

JOURNAL = Path("tuning/journal.log")


def main() -> None:
    """Run trials; print the best parameters as a params.yaml."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    suggest = getattr(model, "suggest", None)
    if suggest is None:
        raise SystemExit("model.py has no function suggest(trial, params), which says where to search")
    params = contract.params("train", model.Training)
    rows = train_and_held_out(contract.of(contract.ForTraining))

    def objective(trial: optuna.Trial) -> float:
        tried = suggest(trial, params)
        _, curve = model.fit(*rows, tried)
        trial.set_user_attr("train", tried.model_dump(mode="json"))
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
    best = {**contract.read_yaml(contract.PARAMS), "train": study.best_trial.user_attrs["train"]}
    print(yaml.safe_dump(best, sort_keys=False), end="")


if __name__ == "__main__":
    main()
