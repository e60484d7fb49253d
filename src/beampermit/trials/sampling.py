"""Optuna's samplers and pruners by the names of params.yaml, and a grid of our own."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from beampermit.digest import digest_json
from beampermit.trials.settings import Choice, Settings

if TYPE_CHECKING:
    import optuna

FEEDBACK = ("tpe", "cmaes")
"""Samplers that learn from the trials before."""


def new_sampler(settings: Settings, number: int) -> optuna.samplers.BaseSampler:
    """The sampler for a trial. What it draws follows from the seed, the trial's number and the trials before: runs that
    go on, and two at once, do not draw the same again."""
    import optuna

    seed = int(digest_json([settings.seed, number])[7:15], 16)
    kind, options = settings.sampler.kind, settings.sampler.options
    samplers = optuna.samplers
    if kind == "cmaes":
        startup, sigma = int(options.get("startup", 1)), options.get("sigma")
        return samplers.CmaEsSampler(seed=seed, n_startup_trials=startup, sigma0=sigma, warn_independent_sampling=False)
    if kind == "tpe":
        several = bool(options.get("multivariate", True))
        startup = int(options.get("startup", 10))
        return samplers.TPESampler(seed=seed, n_startup_trials=startup, multivariate=several, group=several)
    return samplers.RandomSampler(seed=seed)


def new_pruner(pruner: Choice) -> optuna.pruners.BasePruner:
    import optuna

    options: dict[str, Any] = {name: int(value) for name, value in pruner.options.items()}
    if pruner.kind == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=options.get("startup", 5),
            n_warmup_steps=options.get("warmup", 0),
            interval_steps=max(options.get("interval", 1), 1),
        )
    if pruner.kind == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=max(options.get("min", 1), 1),
            max_resource=options.get("max") or "auto",
            reduction_factor=max(options.get("factor", 3), 2),
        )
    return optuna.pruners.NopPruner()


class Grid:
    """The points of a space in an order that follows from the seed: trial 5 has the fifth one, unless that is taken."""

    def __init__(self, settings: Settings, taken: Iterable[dict[str, Any]]):
        self._space = settings.space
        self._points = {digest_json(point): point for point in settings.space.points()}
        self._order = list(self._points)
        random.Random(settings.seed).shuffle(self._order)  # noqa: S311 - no secret
        self._left = dict.fromkeys(self._order)
        for point in taken:
            self._left.pop(digest_json(point), None)

    def __len__(self) -> int:
        return len(self._points)

    @property
    def left(self) -> int:
        return len(self._left)

    def sampler(self, number: int, begun: dict[str, Any]) -> optuna.samplers.BaseSampler:
        """Of the point of a trial, which is taken with it; `begun` are the values that it has already."""
        import optuna

        chosen = digest_json(begun)
        if chosen not in self._points:
            own = self._order[number] if number < len(self._order) else ""
            chosen = own if own in self._left else next(iter(self._left), self._order[number % len(self._order)])
        self._left.pop(chosen, None)
        return optuna.samplers.PartialFixedSampler(self._stored(self._points[chosen]), optuna.samplers.RandomSampler())

    def _stored(self, point: dict[str, Any]) -> dict[str, Any]:
        parameters = {one.path: one for one in self._space.parameters}
        return {name: value for path, given in point.items() for name, value in parameters[path].stored(given).items()}
