"""What the registry shows of each model: it follows the ledger, so a difference was made by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from beampermit.inventory.seen import Seen, Shown
from beampermit.registry.mlflow import IDENTITY, VARIABLE, Registry, checked_uri, registry_uri
from beampermit.registry.reconcile import CHAMPION

AT_ONCE = 8


@dataclass(frozen=True)
class Answers:
    """`address` is the registry's, as ledgers have it."""

    address: str
    shown: Mapping[str, Shown]


def is_named(uri: str) -> bool:
    """Whether any registry is named."""
    return bool(uri or os.environ.get(VARIABLE))


def open_registry(uri: str) -> Registry:
    """The registry at `uri`; `MLFLOW_TRACKING_URI` where it is empty.

    Raises `Outside` where it does not answer, `BadInput` for what is not an address.
    """
    return Registry(checked_uri(uri, "the registry") if uri else registry_uri())


def ask_registry(registry: Registry, models: Sequence[str]) -> Answers:
    """What a registry shows of each model. Raises `Outside` where it does not answer."""

    def ask(model: str) -> Shown:
        version, tags = registry.shown(model, CHAMPION)
        return Shown(version, tags.get(IDENTITY, ""))

    first, *others = models
    # The first one alone: MLflow opens its store once, and not in several threads at the same time.
    shown = {first: ask(first)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        shown |= dict(zip(others, pool.map(ask, others), strict=True))
    return Answers(registry.address, shown)


def with_registry(seen: Seen, answers: Answers) -> Seen:
    """With what this registry shows of the model, where its ledger names this registry and no other."""
    home, found = seen.model.home, answers.shown.get(seen.model.name)
    if home is None or found is None:
        return seen
    same = found.identity == home.registry or (not found.identity and answers.address == home.address)
    return replace(seen, shown=found) if same else seen
