"""Which trials of a study with several objectives no other trial beats in all of them."""

from __future__ import annotations

from beampermit.trials.records import Direction, State, Study, Trial


def front_of(study: Study) -> tuple[Trial, ...]:
    """The Pareto front of the complete trials, the best in the first objective first.

    With one objective, all trials that are as good as the best.
    """
    if len(study.objectives) == 1:
        ranked = study.ranked()
        return tuple(trial for trial in ranked if trial.values == ranked[0].values)
    signs = [1 if objective.direction is Direction.MINIMIZE else -1 for objective in study.objectives]
    alike: dict[tuple[float, ...], list[Trial]] = {}
    for trial in study.of_state(State.COMPLETE):
        named = zip(study.objectives, signs, strict=True)
        loss = tuple(sign * trial.values[objective.name] for objective, sign in named)
        alike.setdefault(loss, []).append(trial)
    found: list[tuple[float, ...]] = []
    for loss in sorted(alike):  # none is beaten by one that comes after it
        if not any(all(one <= other for one, other in zip(before, loss, strict=True)) for before in found):
            found.append(loss)
    return tuple(trial for loss in found for trial in alike[loss])


def shown_order(study: Study) -> tuple[Trial, ...]:
    """All trials: complete ones from the best, of several objectives the front first; then the others by number."""
    if len(study.objectives) == 1:
        complete = study.ranked()
    else:
        front = front_of(study)
        numbers = {trial.number for trial in front}
        complete = (*front, *(trial for trial in study.ranked() if trial.number not in numbers))
    others = [trial for trial in study.trials if trial.state is not State.COMPLETE]
    return (*complete, *others)
