"""Words of samples in SQL: what a source's numbers stand for, and the number that the contract gives a word.

The numbers are those of `beampermit.contract.words`, which the service takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from beampermit.contract import FILE_NAME
from beampermit.contract.words import SHOWN
from beampermit.datasets.tables import sql_text
from beampermit.errors import Failed


def labels(values: str, states: Sequence[str]) -> str:
    """Texts; of numbers, and of texts that are numbers, the state where there is one of that number."""
    if not states:
        return f"CAST({values} AS VARCHAR)"
    number = f"TRY_CAST({values} AS DOUBLE)"
    state = f"{_list(states)}[CAST({number} AS INTEGER) + 1]"
    one = f"{number} BETWEEN 0 AND {len(states) - 1} AND {number} = trunc({number})"
    return f"CASE WHEN {one} THEN {state} ELSE CAST({values} AS VARCHAR) END"


def numbers(texts: str, words: Sequence[str]) -> str:
    """The number of each word; NULL for any other text."""
    return f"CAST(nullif(list_position({_list(words)}, {texts}), 0) - 1 AS DOUBLE)"


def known(texts: str, words: Sequence[str]) -> str:
    return f"coalesce(list_contains({_list(words)}, {texts}), false)"


def unknown(texts: str) -> str:
    """Why a sample has no number, for people."""
    return f"'unknown word ' || coalesce(left({texts}, {SHOWN}), '')"


def numbers_without_states(what: str) -> Failed:
    """`what` says where there are numbers in place of words."""
    return Failed(
        f"{what}, and nothing says which words they stood for",
        file=FILE_NAME,
        hint="if you know it, name the labels from 0 on: `states` of that signal in dataset.request.signals",
    )


def _list(texts: Sequence[str]) -> str:
    return f"[{', '.join(map(sql_text, texts))}]"
