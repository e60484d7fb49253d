"""What a pull request changes in the contract: the gates it is judged by, and the rest."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from beampermit.changes.flat import Move, flat, moves
from beampermit.contract import Contract
from beampermit.contract.part import version

WORDS = ("model", "operations")
"""Sections that tell people something; everything else is what the model is judged by or served with."""
OPTIONS = "dataset.request.options."
"""What a source is asked for is no gate, whatever its keys are called."""


def _more(before: Any, after: Any) -> bool:
    return after > before


def _less(before: Any, after: Any) -> bool:
    return after < before


def _wider(before: Any, after: Any) -> bool:
    return after[0] < before[0] or after[1] > before[1]


def _older(before: Any, after: Any) -> bool:
    return version(after) < version(before)


def _fewer(before: Any, after: Any) -> bool:
    return len(after) < len(before)


def _later(before: Any, after: Any) -> bool:
    return (before, after) == ("pull-request", "release")


LOOSER: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("champion_margin", "metric_tolerance", "weight_tolerance", "latency", "memory"), _more),
    **dict.fromkeys(("prediction_tolerance", "seed_tolerance"), _more),
    **dict.fromkeys(("retrain", "spread"), _later),
    **dict.fromkeys(("stale_after", "hold_for", "high", "hihi"), _more),
    **dict.fromkeys(("low", "lolo"), _less),
    **dict.fromkeys(("range", "expected"), _wider),
    **dict.fromkeys(("seeds", "by", "weighted"), _fewer),
    "better": operator.ne,
    "tests.gpu.memory": _less,
    **dict.fromkeys(("capability", "driver"), _older),
}
"""Key, or its last word -> whether it asks less than before; so does each of them when it is removed."""


def promises(before: Contract, after: Contract) -> tuple[tuple[Move, ...], tuple[Move, ...]]:
    """Changed gates, each marked where it asks less than before; and changed words."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    flats = flat(old), flat(new)
    found = [replace(move, looser=_looser(move.key, *flats)) for move in moves(old, new)]
    words = tuple(move for move in found if move.key.split(".")[0] in WORDS)
    return tuple(move for move in found if move not in words), words


def _looser(key: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    before, after = old.get(key), new.get(key)
    name = key.rpartition(".")[2]
    rule = _gate_rule(key, old) if name == "gate" else LOOSER.get(key) or LOOSER.get(name)
    if before is None or rule is None or key.startswith(OPTIONS):
        return False
    return after is None or rule(before, after)


def _gate_rule(key: str, old: dict[str, Any]) -> Callable[[Any, Any], bool]:
    metric = ".".join(key.split(".")[:2])  # also of `metrics.auc.subgroups.plane.gate`
    return _less if old.get(f"{metric}.better") == "higher" else _more
