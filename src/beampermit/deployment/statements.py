"""What a deployment file says, line by line, and where that is something else than the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from beampermit.errors import Problem

PV = "PV "
"""How the subject of a statement begins that names a PV."""


@dataclass(frozen=True)
class Statement:
    """That `subject` has this value. With `at_least`, a larger number is as good: a laboratory may give more memory."""

    subject: str
    value: str | float
    line: int
    at_least: bool = False


def names(pv: str, line: int) -> Statement:
    """That a file has this PV."""
    return Statement(f"{PV}{pv}", "", line)


def compare(
    file: str, said: Iterable[Statement], decided: Iterable[Statement], is_gone: Callable[[str], bool]
) -> Iterator[Problem]:
    """What `file` says otherwise than what is `decided`, does not say at all, or says of a PV that `is_gone`.

    Whatever else it says is the laboratory's.
    """
    found, expected = _by_subject(said), _by_subject(decided)
    for subject, wanted in expected.items():
        if subject not in found:
            yield Problem(f"{subject} is missing", file)
        # Each of them counts somewhere: two manifests in a file are both applied.
        for one in found.get(subject, ()):
            if not any(_agrees(one, statement) for statement in wanted):
                is_, was = _shown(one.value, wanted[-1].value)
                bound = "at least " if wanted[-1].at_least else ""
                yield Problem(f"{subject} is {is_}, not {bound}{was}", file, one.line)
    for subject, statements in found.items():
        pv = subject.removeprefix(PV)
        if subject not in expected and subject.startswith(PV) and is_gone(pv):
            yield Problem(f"{pv} is not a PV of this model", file, statements[-1].line)


def _by_subject(statements: Iterable[Statement]) -> dict[str, list[Statement]]:
    grouped: dict[str, list[Statement]] = {}
    for statement in statements:
        grouped.setdefault(statement.subject, []).append(statement)
    return grouped


def _agrees(found: Statement, decided: Statement) -> bool:
    if decided.at_least and isinstance(found.value, float) and isinstance(decided.value, float):
        return found.value >= decided.value
    return found.value == decided.value


def _shown(found: str | float, decided: str | float) -> tuple[str, str]:
    """Both in one line; of a text of several lines, the first that differs."""
    if not isinstance(found, str) or not isinstance(decided, str):
        return f"{found:g}", f"{decided:g}"
    for one, other in zip_longest(found.splitlines(), decided.splitlines(), fillvalue=""):
        if one.strip() != other.strip():
            return one.strip() or "empty", other.strip() or "empty"
    return found, decided
