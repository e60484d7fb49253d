"""Whether an `if` keeps jobs of forks from running: read as GitHub reads it, and believed only where it is plain."""

from __future__ import annotations

import re
from collections.abc import Iterator

from beampermit.workflows.lint.reach import FORK_EVENTS, Reached

_HEAD = "github.event.pull_request.head.repo"
_SAME = {
    frozenset({f"{_HEAD}.full_name", "github.repository"}),
    frozenset({f"{_HEAD}.full_name", "github.event.pull_request.base.repo.full_name"}),
    frozenset({f"{_HEAD}.id", "github.repository_id"}),
    frozenset({f"{_HEAD}.id", "github.event.pull_request.base.repo.id"}),
    frozenset({f"{_HEAD}.fork", "false"}),
}
_FUNCTIONS = ("always()", "cancelled()", "failure()")
"""With one of these a job runs although one that it needs did not."""


def is_guarded(reached: Reached) -> bool:
    """Whether a fork's pull request cannot start the job: by a condition of it, of its callers, or of what it needs."""
    if any(keeps_forks_out(condition) for condition in reached.conditions):
        return True
    if any(function in reached.job.condition.replace(" ", "") for function in _FUNCTIONS):
        return False
    return any(is_guarded(needed) for needed in reached.needed)


def keeps_forks_out(condition: str) -> bool:
    """Whether a condition is false for every pull request of a fork."""
    whole = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", condition, re.DOTALL)
    text = whole[1] if whole else condition
    # `${{ a }} && b` is a text that is not empty, and so always true.
    return "${{" not in text and _keeps_out("".join(_without_spaces(text)))


def _keeps_out(text: str) -> bool:
    for operator, verdict in (("||", all), ("&&", any)):
        parts = list(_split(text, operator))
        if len(parts) > 1:
            return verdict(_keeps_out(part) for part in parts)
    if text.startswith("(") and text.endswith(")"):
        return _keeps_out(text[1:-1])
    return _is_guard(text)


def _is_guard(term: str) -> bool:
    if term in ("false", f"!{_HEAD}.fork"):
        return True
    if re.fullmatch(r"startsWith\(github\.ref,'refs/(heads|tags)/.*'\)", term):
        return True
    listed = re.fullmatch(r"contains\(fromJSON\('(\[.*\])'\),github\.event_name\)", term)
    if listed:
        return not FORK_EVENTS & set(re.findall(r'"([^"]*)"', listed[1]))
    left, operator, right = re.fullmatch(r"(.*?)(==|!=|$)(.*)", term, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess] - `$` always matches
    if operator == "==" and frozenset({left, right}) in _SAME:
        return True
    named = right.strip("'") if left == "github.event_name" else ""
    if left == "github.ref":
        return operator == "==" and right.startswith(("'refs/heads/", "'refs/tags/"))
    return bool(named) and (named not in FORK_EVENTS if operator == "==" else named == "pull_request")


def _split(text: str, operator: str) -> Iterator[str]:
    """Parts between operators that stand outside of parentheses and quotes."""
    depth, quoted, start = 0, False, 0
    for at, letter in enumerate(text):
        quoted ^= letter == "'"
        depth += 0 if quoted else (letter == "(") - (letter == ")")
        if not quoted and depth == 0 and text.startswith(operator, at):
            yield text[start:at]
            start = at + len(operator)
    yield text[start:]


def _without_spaces(text: str) -> Iterator[str]:
    quoted = False
    for letter in text:
        quoted ^= letter == "'"
        if quoted or not letter.isspace():
            yield letter
