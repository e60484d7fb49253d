"""Verdicts as a table for a person, as JSON, as Markdown, and as GitHub's annotations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from beampermit.verdicts.verdict import Location, Outcome, Verdict

ICONS = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.SKIPPED: "yellow", Outcome.ERROR: "magenta"}

SHOWN = 5
"""Places, and things to do, named on a terminal."""
MARKED = 10
"""Places of one verdict that are annotated."""


def table(verdicts: list[Verdict]) -> Any:
    """A rich table: id, icon, title and reason; below it how to fix what did not pass."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from beampermit.documents.markdown import visible

    rows = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "interlock", "", "reason", "s"):
        rows.add_column(name, no_wrap=name in ("", "s"), justify="right" if name == "s" else "left")
    for verdict in verdicts:
        icon = Text("●", style=ICONS[verdict.outcome])
        seconds = "reused" if verdict.reused else f"{verdict.seconds:.1f}"
        rows.add_row(
            icon,
            Text(f"{verdict.id}  {visible(verdict.title)}"),
            Text(verdict.outcome),
            Text(visible(verdict.reason)),
            Text(seconds, style="dim"),
        )
    fixes = map(_fix, (verdict for verdict in verdicts if verdict.outcome in (Outcome.FAILED, Outcome.ERROR)))
    return Group(rows, *fixes, Text(f"\n{summary(verdicts)}", style="bold"), *_first(verdicts))


def _first(verdicts: list[Verdict]) -> Iterator[Any]:
    """What to do first, where there is something to choose."""
    from rich.text import Text

    from beampermit.documents.markdown import visible

    pass

    found = steps(verdicts)
    if len(found) < 2:
        return
    yield Text("\nWhat helps most, first:", style="bold")
    for place, step in enumerate(found[:SHOWN], 1):
        more = f" and {len(step.others)} more" if step.others else ""
        yield Text(f"  {place}. {step.id}{more}: {visible(step.reason)}")
    if len(found) > SHOWN:
        yield Text(f"  then {len(found) - SHOWN} more, above")


def summary(verdicts: Iterable[Verdict]) -> str:
    """`12 passed, 1 failed`: counts by outcome, those that are not zero."""
    found = list(verdicts)
    counts = {outcome: sum(verdict.outcome is outcome for verdict in found) for outcome in Outcome}
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)


def as_json(verdicts: list[Verdict]) -> str:
    """A JSON list of verdicts."""
    return json.dumps([verdict.model_dump(mode="json") for verdict in verdicts], indent=2, ensure_ascii=False) + "\n"


def markdown(verdicts: list[Verdict]) -> str:
    """A headline, a table of what did not pass, how to fix it, and what passed, folded: for a comment or a summary."""
    from beampermit.documents import rendering
    from beampermit.verdicts.merge import ICONS, merge_verdicts

    found = merge_verdicts(verdicts, {verdict.id: verdict.title for verdict in verdicts})
    return rendering.join(rendering.blocks("verdicts.md.j2", {"judged": found, "icons": ICONS}))


def github(verdicts: list[Verdict]) -> str:
    """Lines for the log of a workflow: an annotation for each interlock that did not pass, at each place it knows.

    GitHub shows the first ten errors of a step, so every interlock has its first place before any has a second.
    """
    from beampermit.documents.markdown import logged

    further = (
        _mark(verdict, place, logged(verdict.reason))
        for verdict in verdicts
        if not verdict.passed
        for place in verdict.locations[1:MARKED]
    )
    return "".join(f"{line}\n" for line in (*map(_annotation, verdicts), *further, summary(verdicts)))


def _annotation(verdict: Verdict) -> str:
    from beampermit.documents.markdown import logged

    if verdict.passed:
        return f"passed  {verdict.id}  {logged(verdict.reason)}"
    place = verdict.locations[0] if verdict.locations else None
    return _mark(verdict, place, "\n".join(filter(None, map(logged, (verdict.reason, *verdict.fix.split("\n\n"))))))


def _mark(verdict: Verdict, place: Location | None, message: str) -> str:
    from beampermit.documents.markdown import logged

    properties = {"file": place.file, "line": place.line} if place else {}
    named = {**properties, "title": f"{verdict.id} {verdict.title} ({verdict.outcome})"}
    words = ",".join(f"{key}={_property(logged(value))}" for key, value in named.items() if value is not None)
    level = "warning" if verdict.outcome is Outcome.SKIPPED else "error"
    return f"::{level} {words}::{_data(message)}"


def _fix(verdict: Verdict) -> Any:
    from rich.console import Group
    from rich.markdown import Markdown  # takes longer to import than most interlocks to judge
    from rich.padding import Padding
    from rich.text import Text

    from beampermit.documents.markdown import visible

    fix = Markdown(visible(verdict.fix, lines=True, limit=10_000))
    return Padding(Group(Text(f"{verdict.id}  {visible(_places(verdict))}", style="bold"), fix), (1, 0, 0, 2))


def _data(value: str) -> str:
    """What a workflow command needs escaped in its message."""
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    """What it needs escaped in a property as well."""
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def _places(verdict: Verdict) -> str:
    shown = [place.file if place.line is None else f"{place.file}:{place.line}" for place in verdict.locations[:SHOWN]]
    more = len(verdict.locations) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


ORDER = (
    *("ENV001", "ENV002", "DAT002", "DAT001", "DAT008", "DOC001", "DOC002", "TST001", "TST004", "GIT003"),
    *("ENV", "DAT", "TST", "MDL", "PRF", "REP", "DOC", "GIT"),
)
"""Ids, then whole families: a lock and data that others can fetch come before promises, promises before proofs."""


@dataclass(frozen=True)
class Step:
    """One thing to do, for one interlock and for `others` that wait for the same."""

    id: str
    others: tuple[str, ...]
    reason: str


def steps(verdicts: Iterable[Verdict]) -> tuple[Step, ...]:
    """What to do, most useful first; what would pass once something else is fixed is not named."""
    found: dict[tuple[str, str], list[str]] = {}
    for verdict in sorted(verdicts, key=lambda one: rank(one.id)):
        if not verdict.passed and not verdict.waits_for:
            alone = "" if verdict.outcome is Outcome.SKIPPED else verdict.id
            found.setdefault((alone, verdict.reason), []).append(verdict.id)
    return tuple(Step(ids[0], tuple(ids[1:]), reason) for (_, reason), ids in found.items())


def rank(id: str) -> int:
    """Lower is sooner."""
    return next((place for place, name in enumerate(ORDER) if id.startswith(name)), len(ORDER))
