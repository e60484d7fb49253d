"""Freeze and thaw: while a model is frozen no other is promoted. Rollback and retirement stay open: they are the way
out, and whoever needs them at night must not look for the one who may thaw."""

from __future__ import annotations

from beampermit.errors import BadInput, Conflict
from beampermit.registry.change import Change, Moved
from beampermit.registry.chronicle import State


def freeze(change: Change, *, reason: str) -> Moved:
    """Refuse promotions until `thaw`. Frozen already is no error: the event says by whom and why."""
    state, last = change.read()
    if state.frozen:
        return change.stands(state.frozen)
    change.must_be_new("freeze", state)
    return change.write("freeze", last, reason)


def thaw(change: Change, *, reason: str) -> Moved:
    """Let promotions pass again. Raises `BadInput` for a model that was never frozen."""
    state, _ = change.read()
    if state.frozen:
        change.must_be_new("thaw", state)
        return change.write("thaw", state.frozen, reason)
    thawed = next((event for event in reversed(state.events) if event.event == "thaw"), None)
    if thawed is None:
        raise BadInput(f"{change.model} was never frozen", hint="beampermit history")
    return change.stands(thawed)


def must_not_be_frozen(state: State) -> None:
    """Raises `Conflict` that says who froze the model, when and why."""
    frozen = state.frozen
    if frozen:
        raise Conflict(
            f"{frozen.model} is frozen since {frozen.at} by {frozen.by}: {frozen.reason}; nothing moved",
            hint="beampermit thaw --reason WHY",
        )
