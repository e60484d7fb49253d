"""Studies by hand: trials with values that are known, in every state."""

from __future__ import annotations

import random
from typing import Any

from beampermit.trials.records import Bound, Direction, Objective, State, Study, Trial

SPACE: dict[str, Any] = {
    "train.learning_rate": {"float": [0.0001, 0.1], "log": True},
    "train.hidden": {"int": [4, 64]},
    "train.kind": {"choice": ["mlp", "tree"]},
    "train.depth": {"int": [2, 8], "when": {"train.kind": "tree"}},
    "train.features": {"subset": ["line", "noise", "spikes"]},
}
BOUND = Bound(
    data={"data/dataset/train.parquet": "1" * 32, "data/dataset/validation.parquet": "2" * 32},
    code="sha256:" + "3" * 64,
    lock="sha256:" + "4" * 64,
    parameters="sha256:" + "5" * 64,
    space="sha256:" + "6" * 64,
)
LOSS = Objective(name="validation_loss", direction=Direction.MINIMIZE)
AUC = Objective(name="auc", direction=Direction.MAXIMIZE)


def drawn(number: int, rng: random.Random) -> dict[str, Any]:
    """Parameters of the space."""
    params: dict[str, Any] = {
        "train.learning_rate": 10 ** rng.uniform(-4, -1),
        "train.hidden": rng.randint(4, 64),
        "train.kind": rng.choice(["mlp", "tree"]),
        "train.features": [name for name in ("line", "noise", "spikes") if rng.random() < 0.6] or ["line"],
    }
    return {**params, "train.depth": number % 7 + 2} if params["train.kind"] == "tree" else params


def complete(number: int, loss: float, auc: float | None = None, **others: Any) -> Trial:
    values = {"validation_loss": loss} | ({} if auc is None else {"auc": auc})
    told = {"params": {"train.hidden": 4 + number}, "seconds": 1.5, "machine": "AVX2, node-1", **others}
    return Trial(number=number, state=State.COMPLETE, values=values, **told)


def failed(number: int, reason: str = "ValueError: no rows") -> Trial:
    return Trial(number=number, state=State.FAILED, params={"train.hidden": 4}, reason=reason, seconds=0.5)


def study(*trials: Trial, objectives: tuple[Objective, ...] = (LOSS,), **others: Any) -> Study:
    return Study(
        name="bpm-faults-0123abcd",
        bound=others.pop("bound", BOUND),
        commit="a" * 40,
        began="2026-11-29T10:00:00Z",
        space=others.pop("space", SPACE),
        objectives=objectives,
        sampler="tpe",
        pruner="median",
        seed=7,
        trials=trials,
        **others,
    )


def large(count: int, several: bool = False) -> Study:
    """Of `count` trials: the learning rate decides, a tenth fails, a tenth is pruned."""
    rng = random.Random(0)  # noqa: S311
    trials = []
    for number in range(count):
        params = drawn(number, rng)
        if number % 10 in (3, 7):
            state = State.FAILED if number % 10 == 3 else State.PRUNED
            trials.append(Trial(number=number, state=state, params=params, seconds=0.1, reason="stopped"))
            continue
        loss = abs(params["train.learning_rate"] - 0.01) + 0.001 * rng.random() + 0.001
        trials.append(complete(number, loss, rng.random() if several else None, params=params))
    return study(*trials, objectives=(LOSS, AUC) if several else (LOSS,))
