"""Whether an `if` is false for every pull request of a fork. A condition in any other form than those below is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set

from beampermit.workflows.expansion import StartedJob

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
_RUN_ANYWAY = ("always()", "cancelled()", "failure()")
"""With one of these a job runs although a job that it needs did not."""


def is_guarded(started: StartedJob, events: Set[str] = PULL_REQUEST) -> bool:
    """Whether no fork's pull request can start the job: by its condition, a caller's, or that of a job it needs.

    `events` are those of `FORK_EVENTS` that start the workflow.
    """
    if any(keeps_forks_out(condition, events) for condition in started.conditions):
        return True
    if any(function in started.job.condition.replace(" ", "") for function in _RUN_ANYWAY):
        return False
    return any(is_guarded(needed, events) for needed in started.needed)


def keeps_forks_out(condition: str, events: Set[str] = PULL_REQUEST) -> bool:
    """Whether a condition is false for every pull request of a fork. GitHub compares texts in any case."""
    whole = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", condition, re.DOTALL)
    expression = whole[1] if whole else condition
    # `${{ a }} && b` is a text that is not empty, and so always true.
    return "${{" not in expression and _is_false_for_forks("".join(_without_spaces(expression)), events)


def _is_false_for_forks(expression: str, events: Set[str]) -> bool:
    for operator, combine in (("||", all), ("&&", any)):
        operands = list(_split(expression, operator))
        if len(operands) > 1:
            return combine(_is_false_for_forks(operand, events) for operand in operands)
    if expression.startswith("(") and expression.endswith(")"):
        return _is_false_for_forks(expression[1:-1], events)
    return _is_guard(expression, events)


def _is_guard(term: str, starting: Set[str]) -> bool:
    if term in ("false", f"!{_HEAD}.fork", "github.ref_type=='tag'"):
        return True
    if re.fullmatch(r"startsWith\(github\.ref,'refs/(heads|tags)/.*'\)", term):
        return True
    events = re.fullmatch(r"contains\(fromJSON\('(\[.*\])'\),github\.event_name\)", term)
    if events:
        return _names_no_fork_event(events[1])
    left, operator, right = re.fullmatch(r"(.*?)(==|!=|$)(.*)", term, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess] - `$` always matches
    if operator == "==" and frozenset({left, right}) in _SAME_REPOSITORY:
        return True
    if left == "github.ref":
        return operator == "==" and right.startswith(("'refs/heads/", "'refs/tags/"))
    event = right.strip("'").lower() if left == "github.event_name" else ""
    return bool(event) and (event not in FORK_EVENTS if operator == "==" else starting <= {event})


def _names_no_fork_event(text: str) -> bool:
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return all(isinstance(name, str) and name.lower() not in FORK_EVENTS for name in names)


def _split(expression: str, operator: str) -> Iterator[str]:
    """The operands of an operator, except inside parentheses and quotes."""
    depth, quoted, start = 0, False, 0
    for index, letter in enumerate(expression):
        quoted ^= letter == "'"
        depth += 0 if quoted else (letter == "(") - (letter == ")")
        if not quoted and depth == 0 and expression.startswith(operator, index):
            yield expression[start:index]
            start = index + len(operator)
    yield expression[start:]


def _without_spaces(expression: str) -> Iterator[str]:
    quoted = False
    for letter in expression:
        quoted ^= letter == "'"
        if quoted or not letter.isspace():
            yield letter
