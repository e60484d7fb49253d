"""The words of an input: a text, or the label of an enum, becomes the word's place in the list of the contract.

Service, data requests, HTTP and replay map words here and nowhere else: the model sees in service what it learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

MOST, LONGEST = 64, 50
"""Words, and characters of one: an enum of EPICS has at most 16 of 26."""
SHOWN = 20
"""Characters of a word that somebody else wrote."""


def _plain(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError(f"a word has no blanks around it, and is of one line: {value!a}")
    return value


Word = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_plain)]


def number_of(word: str, words: Sequence[str]) -> int | None:
    """The number of exactly this word; None for any other."""
    return words.index(word) if word in words else None


def word_of(number: Any, words: Sequence[str]) -> str | None:
    """The word that a number in a table stands for."""
    if not isinstance(number, int | float) or isinstance(number, bool) or number not in range(len(words)):
        return None
    return words[int(number)]


def unknown(word: str, words: Sequence[str]) -> str:
    """In words for people; it follows "NAME has"."""
    shown = word if len(word) <= SHOWN else f"{word[:SHOWN]}..."
    return f"the word {shown!a}, which is none of {listed(words)}"


def listed(words: Sequence[str]) -> str:
    return ", ".join(words)


def unit_of(words: Sequence[str]) -> str:
    """What a number stands for, in place of a unit: whoever compares units sees that words are in another order."""
    return ", ".join(f"{number} = {word!r}" for number, word in enumerate(words))


def with_unit_and_range(signal: Any) -> Any:
    """A signal as YAML has it; one with words has their unit and range."""
    words = signal.get("words") if isinstance(signal, dict) else None
    if not isinstance(words, list | tuple) or not words:
        return signal
    return {"unit": unit_of(words), "range": (0.0, max(len(words) - 1.0, 1.0)), **signal}
