"""Whether an `if` is false for every pull request of a fork. A condition in any other form than those below is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set
from functools import lru_cache

from beampermit.workflows.expansion import StartedJob
from beampermit.workflows.expressions import MOST_LETTERS, MOST_LEVELS, spend

FORK_EVENTS = frozenset({"pull_request", "pull_request_review", "pull_request_review_comment"})
"""Events of a fork's pull request whose jobs check out its code."""
_HEAD = "github.event.pull_request.head.repo"
_SAME_REPOSITORY = {
    frozenset({f"{_HEAD}.full_name", "github.repository"}),
    frozenset({f"{_HEAD}.full_name", "github.event.pull_request.base.repo.full_name"}),
    frozenset({f"{_HEAD}.id", "github.repository_id"}),
    frozenset({f"{_HEAD}.id", "github.event.pull_request.base.repo.id"}),
    frozenset({f"{_HEAD}.fork", "false"}),
}
PULL_REQUEST = frozenset({"pull_request"})
_PATH = r"[A-Za-z_][\w-]*(?:\.[\w-]+)*"
_LITERAL = r"'(?:[^']|'')*'"
_COMPARISON = re.compile(rf"({_PATH})(==|!=)({_PATH}|{_LITERAL})", re.ASCII)
_OF_REFS = re.compile(r"startsWith\(github\.ref,'refs/(heads|tags)/[^']*'\)")
_OF_EVENTS = re.compile(r"contains\(fromJSON\('(\[[^']*\])'\),github\.event_name\)")
_OUTCOME = re.compile(r"\b(always|cancelled|failure|success)\(", re.IGNORECASE)


def is_guarded(started: StartedJob, events: Set[str] = PULL_REQUEST) -> bool:
    """Whether no fork's pull request can start the job: by its condition, a caller's, or that of a job it needs.

    `events` are those of `FORK_EVENTS` that start the workflow.
    """
    pending, seen = [started], set[tuple[str, ...]]()
    while pending:
        one = pending.pop()
        spend(1 + len(one.conditions))
        if one.path in seen:  # many jobs may need the same ones, which need the same ones
            continue
        seen.add(one.path)
        if any(keeps_forks_out(condition, events) for condition in one.conditions):
            return True
        if not _runs_anyway(one.job.condition):
            pending += one.needed
    return False


def keeps_forks_out(condition: str, events: Set[str] = PULL_REQUEST) -> bool:
    """Whether a condition is false for every pull request of a fork. GitHub compares texts in any case."""
    return _keeps_forks_out(condition, frozenset(events))


@lru_cache(maxsize=4096)
def _keeps_forks_out(condition: str, events: frozenset[str]) -> bool:
    expression = _expression(condition)
    depths = [depth for _, depth in _unquoted(expression)]
    if len(condition) > MOST_LETTERS or max(depths, default=0) > MOST_LEVELS or min(depths, default=0) < 0:
        return False
    return _is_false_for_forks(expression, events)


def _runs_anyway(condition: str) -> bool:
    """Whether a job may run although one that it needs did not: GitHub demands that only where no outcome is named."""
    expression = _expression(condition)
    if not _OUTCOME.search(expression if expression else "".join(condition.split())):
        return False
    return not all("success()" in _split(operand.lower(), "&&") for operand in _split(expression, "||"))


def _expression(condition: str) -> str:
    """A condition without spaces; empty for `${{ a }} && b`, which is a text that is not empty, and so always true."""
    whole = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", condition, re.DOTALL)
    expression = whole[1] if whole else condition
    return "" if "${{" in expression else "".join(_without_spaces(expression))


def _is_false_for_forks(expression: str, events: Set[str]) -> bool:
    for operator, combine in (("||", all), ("&&", any)):
        operands = _split(expression, operator)
        if len(operands) > 1:
            return combine(_is_false_for_forks(operand, events) for operand in operands)
    inner = expression[1:-1]
    if expression == f"({inner})" and all(depth >= 0 for _, depth in _unquoted(inner)):
        return _is_false_for_forks(inner, events)
    return _is_guard(expression, events)


def _is_guard(term: str, starting: Set[str]) -> bool:
    if term in ("false", f"!{_HEAD}.fork", "github.ref_type=='tag'") or _OF_REFS.fullmatch(term):
        return True
    events = _OF_EVENTS.fullmatch(term)
    if events:
        return _names_no_fork_event(events[1])
    comparison = _COMPARISON.fullmatch(term)
    if comparison is None:
        return False
    left, operator, right = comparison.groups()
    if left == "github.event_name" and right.startswith("'"):
        event = right[1:-1].lower()
        return event not in FORK_EVENTS if operator == "==" else starting <= {event}
    of_branch = left == "github.ref" and right.startswith(("'refs/heads/", "'refs/tags/"))
    return operator == "==" and (of_branch or frozenset({left, right}) in _SAME_REPOSITORY)


def _names_no_fork_event(text: str) -> bool:
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return all(isinstance(name, str) and name.lower() not in FORK_EVENTS for name in names)


def _split(expression: str, operator: str) -> list[str]:
    """The operands of an operator, except inside brackets and quotes."""
    operands, start = [], 0
    for index, depth in _unquoted(expression):
        if depth == 0 and index >= start and expression.startswith(operator, index):
            operands.append(expression[start:index])
            start = index + len(operator)
    return [*operands, expression[start:]]


def _unquoted(expression: str) -> Iterator[tuple[int, int]]:
    """The places outside quotes, each with the number of brackets that are open after it."""
    depth, quoted = 0, False
    for index, letter in enumerate(expression):
        quoted ^= letter == "'"
        if not quoted:
            depth += (letter in "([") - (letter in ")]")
            yield index, depth


def _without_spaces(expression: str) -> Iterator[str]:
    quoted = False
    for letter in expression:
        quoted ^= letter == "'"
        if quoted or not letter.isspace():
            yield letter
