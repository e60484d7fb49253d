"""How much each parameter decides whether a trial is among the best ones: PED-ANOVA, as optuna computes it."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from beampermit.trials.records import State, Study, Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 10
"""Complete trials: of fewer, nothing can be said."""
MOST = 2_000
"""Trials that are looked at; of more, evenly chosen ones."""


def importance(study: Study) -> dict[str, float]:
    """Path -> share of the whole, the largest first; of a subset each member. Empty where there are too few trials."""
    complete = study.of_state(State.COMPLETE)
    if len(complete) < FEWEST:
        return {}
    import optuna
    from optuna.trial import create_trial

    with _without_sklearn():
        from optuna.importance import PedAnovaImportanceEvaluator

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    taken = complete[:: -(-len(complete) // MOST)]
    flat = [_flat(study, trial) for trial in taken]
    distributions = _distributions(study, flat)
    told = optuna.create_study(directions=[objective.direction.value for objective in study.objectives])
    told.add_trials(
        [
            create_trial(
                params=params,
                distributions={name: distributions[name] for name in params},
                values=[trial.values[objective.name] for objective in study.objectives],
            )
            for trial, params in zip(taken, flat, strict=True)
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of too few trials in a part, which the page says in its own words
        found = PedAnovaImportanceEvaluator().evaluate(told)
    whole = sum(found.values())
    return {name: share / whole for name, share in found.items()} if whole > 0 else {}


@contextmanager
def _without_sklearn() -> Iterator[None]:
    """optuna has other ways to compute it, which import scikit-learn where it is there: two seconds for nothing."""
    if "sklearn" in sys.modules:
        yield
        return
    sys.modules["sklearn"] = None  # pyright: ignore[reportArgumentType] - as Python has what cannot be imported
    try:
        yield
    finally:
        sys.modules.pop("sklearn", None)


def _flat(study: Study, trial: Trial) -> dict[str, Any]:
    """The parameters as numbers and texts."""
    flat: dict[str, Any] = {}
    for path, value in trial.params.items():
        members = _body(study, path).get("subset")
        if isinstance(members, list) and isinstance(value, list):
            flat |= {f"{path}: {member}": member in value for member in members}
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            flat[path] = value
        else:
            flat[path] = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return flat


def _distributions(study: Study, flat: list[dict[str, Any]]) -> dict[str, BaseDistribution]:
    """What was tried, from what it was."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    values: dict[str, list[Any]] = {}
    for params in flat:
        for name, value in params.items():
            values.setdefault(name, []).append(value)
    made: dict[str, BaseDistribution] = {}
    for name, seen in values.items():
        if "choice" in _body(study, name) or not all(type(value) in (int, float) for value in seen):
            made[name] = CategoricalDistribution(sorted(set(seen), key=repr))
        else:
            log = _body(study, name).get("log") is True and min(seen) > 0
            made[name] = FloatDistribution(min(seen), max(seen), log=log)
    return made


def _body(study: Study, path: str) -> Mapping[str, Any]:
    body = study.space.get(path)
    return body if isinstance(body, dict) else {}
