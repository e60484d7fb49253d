"""Asks a saved model things in a clean process: the project's interpreter, none of the project's source, no secrets.

What comes back is data: the files the process wrote are read strictly, what it printed is quoted only when it failed.
"""

from beampermit.models.asking import Field, Loaded, Scored, Span, Timing, alone_beside, examine, load, score, spans
from beampermit.models.evaluation import evaluate, weigh
from beampermit.models.surroundings import clean_variables

__all__ = [
    "Field",
    "Loaded",
    "Scored",
    "Span",
    "Timing",
    "alone_beside",
    "clean_variables",
    "evaluate",
    "examine",
    "load",
    "score",
    "spans",
    "weigh",
]
