"""Which run has a trial, and whether that run still lives: trials of one that was killed are taken over by the next."""

from __future__ import annotations

import os
import platform
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beampermit.trials.study import BEAT, RUN

if TYPE_CHECKING:
    import optuna

RECORDING = "mlflow."
"""With the name of a run that writes its trials to MLflow, until all are: when it was last seen."""
EVERY = 60.0
"""Seconds between two signs of life."""
LOST = 600.0
"""Seconds without one after which a run on another machine counts as dead, by the clock that all share."""


def own_name() -> str:
    return uuid.uuid4().hex[:12]


@contextmanager
def alive(study: optuna.Study, name: str, kind: str = BEAT) -> Iterator[None]:
    """Signs of life of this run in the study's storage, while the block runs."""
    over, now = threading.Event(), _clock(study)

    def beat() -> None:
        while not over.wait(EVERY):
            with suppress(Exception):  # the loop itself says that the storage is gone
                study.set_user_attr(kind + name, _sign(now()))

    study.set_user_attr(kind + name, _sign(now()))
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        with suppress(Exception):
            study.set_user_attr(kind + name, None)


def living(study: optuna.Study, own: str, kind: str = BEAT) -> set[str]:
    """Names of the other runs that show signs of life."""
    signs = {name.removeprefix(kind): sign for name, sign in study.user_attrs.items() if name.startswith(kind)}
    now = cache(_clock(study))
    return {name for name, sign in signs.items() if name != own and _lives(sign, now)}


def abandoned(study: optuna.Study, trials: list[optuna.trial.FrozenTrial], own: str) -> list[int]:
    """Numbers in the storage of running trials whose run is dead."""
    others = living(study, own)
    found: list[int] = []
    for trial in trials:
        if trial.state.name not in ("RUNNING", "WAITING"):
            continue
        run = trial.user_attrs.get(RUN)
        if run not in others and (run is not None or not others):
            found.append(trial._trial_id)
    return found


def _clock(study: optuna.Study) -> Callable[[], float]:
    from beampermit.trials.shared_clock import clock_of

    return clock_of(study._storage)


def _sign(seen: float) -> dict[str, Any]:
    import psutil

    own = psutil.Process()
    return {"host": _host(), "process": own.pid, "began": own.create_time(), "seen": seen}


def _lives(sign: Any, now: Callable[[], float]) -> bool:
    if not isinstance(sign, Mapping):
        return False
    if sign.get("host") == _host():
        return _runs(sign.get("process"), sign.get("began"))
    seen = sign.get("seen")
    return isinstance(seen, (int, float)) and now() - seen < LOST


def _runs(process: Any, began: Any) -> bool:
    import psutil

    try:
        found = psutil.Process(process)
        return abs(found.create_time() - began) < 1 and found.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, TypeError, ValueError):
        return False


def _host() -> str:
    """Two containers may have one name, and see other processes."""
    space = Path("/proc/self/ns/pid")
    return f"{platform.node()} {os.stat(space).st_ino if space.exists() else ''}".strip()  # noqa: PTH116
