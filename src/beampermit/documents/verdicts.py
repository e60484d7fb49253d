"""Verdicts as Markdown, and as GitHub's annotations; which of them to fix first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from beampermit.errors import Problem
from beampermit.verdicts.verdict import Location, Outcome, Verdict

MARKED = 10
"""Places of one verdict that are annotated."""


def format_counts(verdicts: Iterable[Verdict]) -> str:
    """`12 passed, 1 failed`: counts by outcome, those that are not zero."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome])


def format_markdown(verdicts: list[Verdict]) -> str:
    """A headline, a table of what did not pass, how to fix it, and what passed, folded: for a comment or a summary."""
    from beampermit.documents import rendering
    from beampermit.verdicts.merge import ICONS, merge_verdicts

    merged = merge_verdicts(verdicts, {verdict.id: verdict.title for verdict in verdicts})
    return rendering.join(rendering.blocks("verdicts.md.j2", {"judged": merged, "icons": ICONS}))


def format_annotations(verdicts: list[Verdict]) -> str:
    """Lines for the log of a workflow: an annotation for each interlock that did not pass, at each place it knows.

    GitHub shows the first ten errors of a step, so every interlock has its first place before any has a second.
    """
    from beampermit.documents.markdown import logged

    further = (
        _mark(verdict, place, logged(place.reason or verdict.reason))
        for verdict in verdicts
        if not verdict.passed
        for place in verdict.locations[1:MARKED]
    )
    return "".join(f"{line}\n" for line in (*map(_annotation, verdicts), *further, format_counts(verdicts)))


def _annotation(verdict: Verdict) -> str:
    from beampermit.documents.markdown import logged

    if verdict.passed:
        return f"passed  {verdict.id}  {logged(verdict.reason)}"
    place = verdict.locations[0] if verdict.locations else None
    reason = _own_reason(verdict, place)
    return _mark(verdict, place, "\n".join(filter(None, map(logged, (reason, *verdict.fix.split("\n\n"))))))


def _own_reason(verdict: Verdict, place: Location | None) -> str:
    """What is wrong at this place, without what the reason says of others that have a line of their own."""
    if place is None or not place.reason or len(verdict.locations) > MARKED:
        return verdict.reason
    others = {other.reason for other in verdict.locations} - {"", place.reason}
    return place.reason if any(other in verdict.reason for other in others) else verdict.reason


def _mark(verdict: Verdict, place: Location | None, message: str) -> str:
    level = "warning" if verdict.outcome is Outcome.SKIPPED else "error"
    whose = f"{verdict.outcome}, {verdict.by}" if verdict.by else str(verdict.outcome)
    title = f"{verdict.id} {verdict.title} ({whose})"
    return _annotate(level, place and place.file, place and place.line, title, message)


def annotate_problems(problems: Iterable[Problem]) -> str:
    """Lines for the log of a workflow: an annotation for each problem of a file, where nothing could be judged."""
    from beampermit.documents.markdown import logged

    lines = (_annotate("error", item.file, item.line, "beampermit", logged(item.message)) for item in problems)
    return "".join(f"{line}\n" for line in lines)


def _annotate(level: str, file: str | None, line: int | None, title: str, message: str) -> str:
    from beampermit.documents.markdown import logged

    values = {"file": file, "line": line, "title": title}
    properties = ",".join(f"{key}={_property(logged(value))}" for key, value in values.items() if value is not None)
    return f"::{level} {properties}::{_data(message)}"


def _data(value: str) -> str:
    """What a workflow command needs escaped in its message."""
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    """What it needs escaped in a property as well."""
    return _data(value).replace(":", "%3A").replace(",", "%2C")


ORDER = (
    *("ENV001", "ENV002", "DAT002", "DAT001", "DAT008", "DOC001", "DOC002", "TST001", "TST004", "GIT003"),
    *("ENV", "DAT", "TST", "MDL", "PRF", "REP", "DOC", "OPS", "GIT"),
)
"""Ids, then families: first the lock and the data, then the contract, then what is computed from them."""


@dataclass(frozen=True)
class Step:
    """One cause to fix, of an interlock and of `others` that were skipped for the same reason."""

    id: str
    others: tuple[str, ...]
    reason: str


def steps(verdicts: Iterable[Verdict]) -> tuple[Step, ...]:
    """What to fix: first what most interlocks wait for, then in `ORDER`. One that waits for another is not a step."""
    verdicts = tuple(verdicts)
    waiting = Counter(cause for verdict in verdicts for cause in verdict.waits_for)
    # A file of verdicts may claim waits that lead nowhere, or round in a circle: those are shown too.
    targets = {verdict.id for verdict in verdicts if not verdict.waits_for}
    causes = [
        verdict
        for verdict in verdicts
        if not verdict.passed and (not verdict.waits_for or targets.isdisjoint(verdict.waits_for))
    ]
    ids: dict[tuple[str, str], list[str]] = {}
    for verdict in sorted(causes, key=lambda cause: (-waiting[cause.id], _rank(cause.id))):
        own = "" if verdict.outcome is Outcome.SKIPPED else verdict.id
        ids.setdefault((own, verdict.reason), []).append(verdict.id)
    return tuple(Step(first, tuple(others), reason) for (_, reason), (first, *others) in ids.items())


def _rank(id: str) -> int:
    return next((place for place, name in enumerate(ORDER) if id.startswith(name)), len(ORDER))
