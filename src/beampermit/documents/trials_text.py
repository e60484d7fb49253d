"""A study as text: for a terminal, and what its page and the report have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from beampermit.changes.flat import format_value
from beampermit.documents.markdown import number, roughly, visible
from beampermit.errors import counted
from beampermit.trials.front import front_of
from beampermit.trials.records import Study, Trial

WIDEST = 40
"""Characters of a cell."""
FOLDER = re.compile(r"/.*?/units/[0-9a-f]{64}/")
"""Of a unit of work, wherever it ran: a hundred characters before the name of a file."""
OF_THE_WORKER = ("it took longer than", "it was ended by signal")
"""How a reason begins that says more than the last line of the log below it."""


def headline(study: Study) -> str:
    """Such as `50 trials, the best is trial 12 with validation_loss 0.0123`."""
    count = counted(len(study.trials), "trial")
    front = [*front_of(study)]
    if not front:
        return f"{count}, none is complete"
    if len(study.objectives) > 1:
        return f"{count}, {len(front)} on the front of {', '.join(one.name for one in study.objectives)}"
    return f"{count}, the best is trial {front[0].number} with {values_of(study, front[0])}"


def values_of(study: Study, trial: Trial) -> str:
    """Such as `validation_loss 0.0123, auc 0.98`."""
    return ", ".join(f"{one.name} {number(trial.values[one.name])}" for one in study.objectives)


def outcome(trial: Trial) -> str:
    """Such as `complete`, or `failed: ValueError: no rows`."""
    lines = trial.reason.strip().splitlines()
    if not lines:
        return str(trial.state)
    told = lines[0].startswith(OF_THE_WORKER) or FOLDER.match(lines[0])
    return f"{trial.state}: {FOLDER.sub('', lines[0] if told else lines[-1], 1)}"


def shown_params(params: Mapping[str, Any]) -> list[str]:
    """Such as `train.hidden 32`."""
    return [f"{path} {shown_value(value)}" for path, value in params.items()]


def shown_value(value: Any) -> str:
    """A parameter as a table has it, with four digits."""
    return number(value, 4) if isinstance(value, float) else format_value(value) or ""


def table(study: Study, listed: Sequence[Trial]) -> tuple[list[str], list[list[str]]]:
    """Heading and rows, a column for each objective and parameter."""
    paths = list(dict.fromkeys(path for trial in listed for path in trial.params))
    names = [objective.name for objective in study.objectives]
    heading = ["trial", *names, *(path.rpartition(".")[2] for path in paths), "time", "machine", "outcome"]
    rows = [
        [
            str(trial.number),
            *(number(trial.values[name]) if name in trial.values else "" for name in names),
            *(shown_value(trial.params[path]) if path in trial.params else "" for path in paths),
            "" if trial.seconds is None else roughly(trial.seconds),
            trial.machine,
            outcome(trial),
        ]
        for trial in listed
    ]
    return list(map(_cell, heading)), [list(map(_cell, row)) for row in rows]


def _cell(text: str) -> str:
    return text if text.isalnum() and len(text) <= WIDEST and text.isascii() else visible(text, limit=WIDEST)
