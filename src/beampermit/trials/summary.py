"""What git keeps of a study: how many trials stand behind the parameters, and how far the best is ahead.

The judged side writes it, so documents show it as what the study says, and check what this commit can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from beampermit.errors import BadInput
from beampermit.project import Project
from beampermit.reading import first_fault, read_json
from beampermit.record import Count, Number, Record
from beampermit.trials.front import front_of
from beampermit.trials.records import Bound, Objective, State, Study, Trial

FILE = "trials.json"
LARGEST = 256 * 2**10
"""Bytes of the file."""
FRONT = 20
"""Trials of a front that are kept."""
Name = Annotated[str, Field(max_length=200)]


class Placed(Record):
    """A trial with its values, by objective."""

    number: Count
    values: dict[Name, Number]


class Spread(Record):
    """Quartiles of the complete trials."""

    lowest: Number
    quarter: Number
    median: Number
    three_quarters: Number
    highest: Number

    @model_validator(mode="after")
    def _rising(self) -> Spread:
        values = [self.lowest, self.quarter, self.median, self.three_quarters, self.highest]
        if values != sorted(values):
            raise ValueError("quartiles rise from lowest to highest")
        return self


class Summary(Record):
    """`best` are the best trials, the first before the others: two of one objective, else some of the front."""

    beampermit: Literal[1] = 1
    study: Name
    bound: Bound
    outputs: dict[str, str]
    """Of dvc.lock, those that hold the data -> their hashes: known in a clone that has no data."""
    commit: Name
    """HEAD when the study began."""
    began: Name
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1, max_length=10)]
    sampler: Name
    pruner: Name
    seed: int
    """The sampler's."""
    training_seed: int | None = None
    """Of every trial; None where it was searched, or the contract's `reproducibility.seed_at` has none."""
    states: dict[State, Count]
    seconds: Annotated[Number, Field(ge=0)]
    """Of all trials together."""
    applied: Count
    params: dict[Name, Any]
    """Of the trial that was applied."""
    values: dict[Name, Number]
    best: Annotated[tuple[Placed, ...], Field(min_length=1, max_length=FRONT)]
    front: Count = 0
    """Trials of the front; of one objective, 0."""
    spread: dict[Name, Spread]
    space: dict[Name, Any]

    @property
    def trials(self) -> int:
        return sum(self.states.values())

    @property
    def complete(self) -> int:
        return self.states.get(State.COMPLETE, 0)

    @property
    def ahead(self) -> float | None:
        """How far the best trial is ahead of the second; None where there is no second, or a front."""
        if self.front or len(self.best) < 2:
            return None
        name = self.objectives[0].name
        return abs(self.best[0].values[name] - self.best[1].values[name])

    @model_validator(mode="after")
    def _consistent(self) -> Summary:
        names = {objective.name for objective in self.objectives}
        for what in (self.values, self.spread, *(placed.values for placed in self.best)):
            if what.keys() != names:
                raise ValueError(f"values are of the objectives, {', '.join(sorted(names))}")
        if self.complete < max(len(self.best), self.front):
            raise ValueError(f"{len(self.best)} best trials of {self.complete} that are complete")
        if (len(self.objectives) > 1) != bool(self.front):
            raise ValueError("several objectives have a front, and one has none")
        if not self.front and len(self.best) > 2:
            raise ValueError("one objective has a best trial and a second")
        objective = self.objectives[0]
        ranked = [placed.values[objective.name] for placed in self.best]
        if not self.front and objective.better(min(ranked[1:], default=ranked[0]), ranked[0]):
            raise ValueError("the best trial is worse than the second")
        if not self.front and objective.better(self.values[objective.name], ranked[0]):
            raise ValueError("the trial that was taken is better than the best")
        if any(placed.number == self.applied and placed.values != self.values for placed in self.best):
            raise ValueError(f"trial {self.applied} has two values")
        return self


def summarise(study: Study, applied: Trial, outputs: dict[str, str], training_seed: int | None) -> Summary:
    """The summary of a study of which a complete trial is applied; `outputs` as in the summary."""
    several = len(study.objectives) > 1
    front = front_of(study) if several else ()
    complete = study.of_state(State.COMPLETE)
    best = front[:FRONT] if several else study.ranked()[:2]
    return Summary(
        study=study.name,
        bound=study.bound,
        outputs=outputs,
        commit=study.commit,
        began=study.began,
        objectives=study.objectives,
        sampler=study.sampler,
        pruner=study.pruner,
        seed=study.seed,
        training_seed=training_seed,
        states={state: count for state in State if (count := len(study.of_state(state)))},
        seconds=round(sum(trial.seconds or 0.0 for trial in study.trials), 3),
        applied=applied.number,
        params=applied.params,
        values=applied.values,
        best=tuple(Placed(number=trial.number, values=trial.values) for trial in best),
        front=len(front),
        spread={
            objective.name: _spread([trial.values[objective.name] for trial in complete])
            for objective in study.objectives
        },
        space=study.space,
    )


def read_summary(project: Project) -> Summary | None:
    """The summary in the work tree, which a pull request may have forged; None where there is none.

    Raises `BadInput`.
    """
    path = project.path(FILE)
    if not path.is_file():
        return None
    try:
        return Summary.model_validate(read_json(path, limit=LARGEST))
    except ValidationError as error:
        hint = "beampermit trials apply"
        raise BadInput(f"not the summary of a study: {first_fault(error)}", file=FILE, hint=hint) from None


def _spread(values: Sequence[float]) -> Spread:
    ordered = sorted(values)
    lowest, quarter, median, three_quarters, highest = (_quantile(ordered, share / 4) for share in range(5))
    return Spread(lowest=lowest, quarter=quarter, median=median, three_quarters=three_quarters, highest=highest)


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, linear between two of them."""
    place = share * (len(ordered) - 1)
    below = int(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    between = low * (1 - place + below) + high * (place - below)  # the difference may be larger than any number
    return min(max(between, low), high)
