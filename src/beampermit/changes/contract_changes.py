"""What a pull request changes in the contract: gates, each marked where it asks less, and texts for people."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from beampermit.changes.flat import ABSENT, Change, KeyPath, format_value, leaves
from beampermit.contract import Contract
from beampermit.contract.direction import Direction, Loosens, direction
from beampermit.contract.part import version
from beampermit.contract.tolerance import is_larger

LOOSER: dict[Loosens, Callable[[Any, Any], bool]] = {
    Loosens.WHEN_LARGER: is_larger,
    Loosens.WHEN_LATER: operator.lt,
    Loosens.WHEN_SMALLER: operator.gt,
    Loosens.WHEN_WIDER: lambda before, after: after[0] < before[0] or after[1] > before[1],
    Loosens.WHEN_OLDER: lambda before, after: version(after) < version(before),
    Loosens.WHEN_CHANGED: operator.ne,
    Loosens.WHEN_SET: operator.ne,
    Loosens.WHEN_REMOVED: lambda _before, _after: False,
    Loosens.WHEN_ENTRY_REMOVED: lambda before, after: bool(set(before) - set(after)),
    Loosens.WHEN_ENTRY_ADDED: lambda before, after: bool(set(after) - set(before)),
}
"""Whether a value asks less than the one before; both are there."""
EMPTY = (ABSENT, None)
NOTHING = (*EMPTY, [], "")


@dataclass(frozen=True)
class ContractChanges:
    """Changed keys, by name: `gates` judge the model or decide what is served, `texts` are read by people."""

    gates: tuple[Change, ...] = ()
    texts: tuple[Change, ...] = ()

    @property
    def looser(self) -> tuple[Change, ...]:
        """Changed gates that ask less than before."""
        return tuple(change for change in self.gates if change.looser)

    def lines(self, *sections: str) -> list[str]:
        """`metrics.auc.gate 0.95 -> 0.9`: changed gates of some sections; an item that is new or gone is one line."""
        changes = [
            change for change in self.gates if change.key.startswith(tuple(f"{section}." for section in sections))
        ]
        whole = {
            change.key.removesuffix("name")
            for change in changes
            if change.key.endswith(".name") and None in (change.before, change.after)
        }
        return [
            f"{change.key.removesuffix('.name')} {_format_change(change)}"
            for change in changes
            if change.key.endswith(".name") or not change.key.startswith(tuple(whole))
        ]


def compare_contracts(before: Contract, after: Contract) -> ContractChanges:
    """What differs between the contract of the base branch and that of the pull request."""
    old, new = leaves(before.model_dump(mode="json")), leaves(after.model_dump(mode="json"))
    gates: list[Change] = []
    texts: list[Change] = []
    for path in sorted({*old, *new}):
        values = old.get(path, ABSENT), new.get(path, ABSENT)
        if values[0] == values[1] or (values[0] in EMPTY and values[1] in EMPTY):
            continue  # of a part that is new or gone, its keys tell
        declared = direction(Contract, path)
        looser = _is_looser(path, declared, old, new)
        changes = texts if declared.loosens is Loosens.INFORMS else gates
        changes.append(Change(".".join(path), *map(format_value, values), looser=looser))
    return ContractChanges(tuple(gates), tuple(texts))


def _format_change(change: Change) -> str:
    if change.before is None:
        return "added"
    return "removed" if change.after is None else f"{change.before} -> {change.after}"


def _is_looser(path: KeyPath, declared: Direction, old: Mapping[KeyPath, Any], new: Mapping[KeyPath, Any]) -> bool:
    before, after = _effective(path, declared, old), _effective(path, declared, new)
    if declared.loosens in (Loosens.NEVER, Loosens.INFORMS):
        return False
    if declared.loosens is Loosens.WHEN_ENTRY_ADDED and not any(isinstance(value, list) for value in (before, after)):
        return before in NOTHING  # an entry of a mapping
    if before is None and declared.loosens is Loosens.WHEN_SET:
        return True
    if before in NOTHING:  # ENV004 takes the pull request's own list where the base branch has none
        return declared.loosens is Loosens.WHEN_ENTRY_ADDED and after not in NOTHING
    return after in NOTHING or _compare(path, declared, old)(before, after)


def _compare(path: KeyPath, declared: Direction, old: Mapping[KeyPath, Any]) -> Callable[[Any, Any], bool]:
    if declared.loosens is Loosens.WHEN_WORSE:
        return operator.gt if old.get((*path[:2], "better")) == "higher" else operator.lt
    if declared.loosens is Loosens.WHEN_LATER_CHOICE:
        return lambda before, after: declared.choices.index(after) > declared.choices.index(before)
    return LOOSER[declared.loosens]


def _effective(path: KeyPath, declared: Direction, contract: Mapping[KeyPath, Any]) -> Any:
    """The value that counts: the key's own, or what it declares for its absence."""
    value = contract.get(path, ABSENT)
    if declared.absent is None or value not in NOTHING:
        return value
    instead = declared.absent.counts_as
    if not isinstance(instead, str) or instead.endswith("%"):
        return instead
    places = ((*path[:depth], *instead.split(".")) for depth in range(len(path) - 1, 0, -1))
    value = next((contract[place] for place in places if place in contract), None)
    if isinstance(value, list):  # a range stands for its end on this key's side
        return value[0 if declared.loosens is Loosens.WHEN_SMALLER else -1]
    return value
