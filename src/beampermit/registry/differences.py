"""What `reconcile` would do, and nothing is done: for whoever may read a registry and not write it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from beampermit.registry.chronicle import State
from beampermit.registry.ledger import Ledger
from beampermit.registry.mlflow import Registry
from beampermit.registry.models import bring
from beampermit.registry.reconcile import Watch, agree, until_still


def differences(ledger: Ledger, registry: Registry, model: str, watch: Watch) -> tuple[str, ...]:
    """The lines that `reconcile` would give; the bytes in service, and those that a rollback needs, are judged as well.

    Raises as `reconcile`; `Outside` also where the registry holds other bytes than the ledger promised.
    """
    looked_at = _Untouched(registry.uri)
    found: tuple[str, ...] = ()
    for state in until_still(ledger, model):
        found = tuple(agree(looked_at, model, state, watch, news=False))
    _judge(looked_at, ledger.state(model), watch)
    return found


def _judge(registry: Registry, state: State, watch: Watch) -> None:
    watch("judge the bytes in service, and those of the way back")
    for event in filter(None, (state.champion, state.before)):
        with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
            bring(registry, event.model, event.version, event.digest, Path(scratch))


class _Untouched(Registry):
    """A registry in which nothing is written."""

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Nothing."""

    def delete_alias(self, model: str, alias: str) -> None:
        """Nothing."""

    def set_state(self, model: str, state: str) -> None:
        """Nothing."""

    def tag(self, model: str, number: int, **tags: str) -> None:
        """Nothing."""
