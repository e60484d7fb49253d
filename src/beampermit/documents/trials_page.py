"""A study as one page: history, what mattered, parameters and values, the front of several objectives, all trials."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from beampermit.documents import rendering, trial_drawings
from beampermit.documents.markdown import Markdown, code, number, roughly
from beampermit.documents.page import drawing, page
from beampermit.documents.trial_drawings import Axis, Scale
from beampermit.documents.trials_text import headline, outcome, shown_params, shown_value
from beampermit.trials.front import front_of, shown_order
from beampermit.trials.importance import importance
from beampermit.trials.records import State, Study, Trial

LISTED = 500
"""Rows of the table."""
DRAWN = 400
"""Lines of the parallel coordinates."""
LEADING = 40
NAMES = ("history", "importance", "parallel")
BEST = 10
"""Rows of the front."""
BARS = 20
AXES = 20


def trials_page(study: Study) -> str:
    """HTML."""
    shares = importance(study)
    drawings, values = _drawings(study, shares), _values(study)
    values["shares"] = shares
    values |= {
        name: drawing(name) if name in drawings else Markdown() for name in ("history", "importance", "parallel")
    }
    values["fronts"] = [drawing(name) for name in drawings if name.startswith("front")]
    text = rendering.join(rendering.blocks("trials.md.j2", values))
    return page(text, f"Trials of {study.name}", drawings)


def _values(study: Study) -> dict[str, Any]:
    several = len(study.objectives) > 1
    front = front_of(study) if several else study.ranked()[:2]
    ordered = shown_order(study)
    complete = len(study.of_state(State.COMPLETE))
    return {
        "study": study,
        "headline": headline(study),
        "states": dict(Counter(trial.state for trial in study.trials)),
        "hours": roughly(sum(trial.seconds or 0 for trial in study.trials)),
        "several": several,
        "best": front[:BEST],
        "more_best": max(0, len(front) - BEST),
        "complete": complete,
        "drawn": min(complete, DRAWN),
        "leading": _leading(complete),
        "listed": ordered[:LISTED],
        "more": max(0, len(ordered) - LISTED),
        "params": lambda trial: Markdown(", ".join(map(code, shown_params(trial.params)))),
        "time": lambda seconds: "" if seconds is None else roughly(seconds),
        "outcome": outcome,
        "tried": lambda body: json.dumps(body, ensure_ascii=False),
    }


def _drawings(study: Study, shares: Mapping[str, float]) -> dict[str, str]:
    complete = study.of_state(State.COMPLETE)
    if not complete:
        return {}
    made = {}
    if len(study.objectives) == 1:
        made["history"] = _history(study, complete)
    if shares:
        made["importance"] = trial_drawings.importance(dict(itertools.islice(shares.items(), BARS)))
    made["parallel"] = _parallel(study)
    front = {trial.number for trial in front_of(study)} if len(study.objectives) > 1 else set()
    for nth, pair in enumerate(itertools.pairwise(one.name for one in study.objectives)):
        others, best = (
            [(trial.values[pair[0]], trial.values[pair[1]]) for trial in complete if (trial.number in front) is on]
            for on in (False, True)
        )
        made[f"front {nth}"] = trial_drawings.front(others, best, pair)
    return made


def _history(study: Study, complete: Sequence[Trial]) -> str:
    objective = study.objectives[0]
    values = [(float(trial.number), trial.values[objective.name]) for trial in complete]
    best: list[tuple[float, float]] = []
    for place, value in values:
        if not best or objective.better(value, best[-1][1]):
            best.append((place, value))
    return trial_drawings.history(values, best, objective.name)


def _parallel(study: Study) -> str:
    """Of the best trials and, evenly, of the others; the objective's axis is the last."""
    ordered = [trial for trial in shown_order(study) if trial.state is State.COMPLETE]
    best = _leading(len(ordered))
    taken = ordered
    if len(ordered) > DRAWN:
        rest = ordered[best:]
        taken = [*ordered[:best], *(rest[len(rest) * nth // (DRAWN - best)] for nth in range(DRAWN - best))]
    objective = study.objectives[0].name
    columns = [(path, [trial.params.get(path) for trial in taken]) for path in list(study.space)[:AXES]]
    placed = [_axis(study, path, values) for path, values in columns]
    placed.append(_numbers(objective, [trial.values[objective] for trial in taken], None))
    lines = list(zip(*(places for _, places in placed), strict=True))
    return trial_drawings.parallel([scale for scale, _ in placed], lines, best)


Placed = tuple[Scale, list[float | None]]


def _leading(complete: int) -> int:
    """How many trials stand out: the best tenth, or as many as can be told apart."""
    return min(-(-complete // 10), LEADING)


def _axis(study: Study, path: str, values: list[Any]) -> Placed:
    body = study.space.get(path)
    body = body if isinstance(body, dict) else {}
    tried = [value for value in values if value is not None]
    if tried and "choice" not in body and all(type(value) in (int, float) for value in tried):
        return _numbers(path, values, body.get("log") is True)
    kinds = sorted({shown_value(value) for value in tried})
    last = max(len(kinds) - 1, 1)
    places = [None if value is None else kinds.index(shown_value(value)) / last for value in values]
    return Scale(path, kinds[0] if kinds else "", kinds[-1] if len(kinds) > 1 else ""), places


def _numbers(name: str, values: Sequence[float | None], log: bool | None) -> Placed:
    axis = Axis.around([value for value in values if value is not None], log)
    places = [None if value is None else axis.place(value) for value in values]
    return Scale(name, number(axis.low, 3), number(axis.high, 3)), places
