"""A study and its trials, as they are shown and written into git."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from beampermit.record import Count, Number, Record, Text

LOSS = "validation_loss"
"""The objective where params.yaml names none: the last loss on the validation split, minimised."""
CURVE_POINTS = 50
"""Rows of a curve that the study keeps, evenly spread, the first and the last among them."""


class State(StrEnum):
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    RUNNING = "running"
    """Also that of a run that was killed, until the next run of the study looks at it."""


class Direction(StrEnum):
    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


class Objective(Record):
    name: str
    direction: Direction

    def better(self, one: float, other: float) -> bool:
        """Whether `one` is better than `other`."""
        return one < other if self.direction is Direction.MINIMIZE else one > other


class Trial(Record):
    """One training with parameters of its own."""

    number: Count
    state: State
    params: dict[str, Any] = Field(default_factory=dict)
    """Path in params.yaml, such as `train.hidden` -> value. What is only tried under a condition that was not met is
    left out: it is as params.yaml has it."""
    values: dict[str, Number] = Field(default_factory=dict)
    """Objective -> value; empty unless it is complete."""
    metrics: dict[str, Number] = Field(default_factory=dict)
    """On the validation split."""
    curve: tuple[tuple[Number, ...], ...] = ()
    """Rows of step, loss and validation loss, at most `CURVE_POINTS`; of a pruned trial, step and value."""
    seconds: Number | None = None
    machine: Text = ""
    """Where it ran: processor, GPU and host name."""
    began: str = ""
    reason: Text = ""
    """Why it failed or was pruned."""
    unit: str = ""
    """Digest of its unit of work, the name of the folder of its files; empty until it is known."""


class Bound(Record):
    """What a study is bound to: another one is another study."""

    data: dict[str, str]
    """Path of what training reads, the test split not among it -> md5 of dvc.lock."""
    code: str
    """Digest of the files that training reads, and of the command."""
    lock: str
    """Digest of the environment's lock."""
    parameters: str
    """Digest of the parameters that training reads and that are not searched."""
    space: str
    """Digest of the space and the objectives."""


class Study(Record):
    name: str
    """Names the model, and ends with digits of the digest of `bound`."""
    bound: Bound
    commit: str
    """HEAD when the study began."""
    began: str
    space: dict[str, Any]
    """As in params.yaml: path of a parameter -> what is tried."""
    objectives: tuple[Objective, ...] = Field(min_length=1)
    sampler: str
    """Of the last run, such as `tpe`; `pruner` as well."""
    pruner: str
    seed: int
    storage: str = ""
    """Where it is kept, without a password."""
    folder: str = ""
    """Of its files on this machine, such as MLflow's database."""
    trials: tuple[Trial, ...] = ()
    """In order of their numbers."""

    def of_state(self, state: State) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.state is state)

    def ranked(self) -> tuple[Trial, ...]:
        """Complete trials of a study with one objective, the best first; equal ones in order of their numbers."""
        objective = self.objectives[0]
        sign = 1 if objective.direction is Direction.MINIMIZE else -1
        return tuple(sorted(self.of_state(State.COMPLETE), key=lambda trial: sign * trial.values[objective.name]))
