"""GitHub hears that the monitor lives: one issue whose text is replaced, and a workflow that looks how old it is.

An issue is all that a token for issues may write, and the monitor has that for its alarms. See decision 34.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from beampermit.errors import BadInput, Failed, Outside
from beampermit.github.client import Refused
from beampermit.live.observation.monitoring import RESULT, read_result
from beampermit.monitoring.response.issues import Issues, mark_of, with_mark
from beampermit.monitoring.response.journal import Issue
from beampermit.monitoring.response.kept import Kept
from beampermit.monitoring.response.texts import Texts
from beampermit.reading import parse_json
from beampermit.record import Count, Number, Record
from beampermit.verdicts.monitoring import Result

EVERY = 1800.0
"""Seconds between two reports: four of them are in the two hours of `silent_after`."""
SKEW = 600.0
"""Seconds by which clocks may differ."""
_LINE = re.compile(r"<!-- beampermit heartbeat (\{[^<>]{1,2000}\}) -->")


class Beat(Record):
    """The hidden line of the issue; it holds no text that anybody chose, so nothing in it can end the line."""

    at: Number
    """When the newest window was judged, s since 1970."""
    version: Count
    alarms: Count


@dataclass(frozen=True)
class Alive:
    """What a dead man's switch found; `where` says where it looked."""

    age: float
    alarms: int
    version: int
    where: str


def report(kept: Kept, issues: Issues, texts: Texts, result: Result, at: float) -> None:
    """Replace the text of the issue, which is opened the first time. Raises `Outside`."""
    if 0 <= at - kept.journal.reported < EVERY:
        return
    body, mark = _body(texts, result), mark_of("heartbeat", result.model)
    issue = kept.journal.heartbeat
    if issue is None or not issue.number:
        kept.update(heartbeat=Issue())
        found = issues.open(f"Monitor of {result.model}", body, mark, state="all")
        issue = Issue(number=found.number)
        kept.update(heartbeat=issue)
        kept.note(f"heartbeat: issue {found.number}, {found.html_url}")
    try:
        issues.change(issue.number, body=with_mark(body, mark))
    except Refused as refused:
        if refused.status in (404, 410):  # a person deleted it
            kept.update(heartbeat=None)
        raise
    kept.update(reported=at)


def look_on_github(issues: Issues, model: str, silent_after: float, now: float, *, required: bool) -> Alive | None:
    """None where no monitor has ever reported, unless it is `required`: the first report arms the switch.

    Raises `Failed` where the monitor has not reported for so long, or by the name of somebody who is not believed any
    more; `Outside`.
    """
    mark, where = mark_of("heartbeat", model), f"issues of {issues.client.repository}"
    found = issues.find(mark, state="all", since=now - silent_after - SKEW)
    if found is None:
        older = issues.marked(mark, state="all")
        if older and not any(issue.trusted for issue in older):
            raise Failed(
                f"the report of {model}'s monitor is by somebody who may not write in {issues.client.repository}, so "
                f"it is not believed: {older[0].html_url}",
                hint="give the monitor the token of somebody who may, and delete that issue; a stranger's, too",
            )
        if not older and not required:
            return None
    match = _LINE.search(found.body or "") if found else None
    if found is None or match is None:
        raise Failed(
            f"the monitor of {model} has not reported for {_hours(silent_after)} or more: {where}",
            hint="beampermit status",
        )
    return _judged(_beat(match[1]), silent_after, now, found.html_url, model)


def look_here(state: Path, silent_after: float, now: float) -> Alive:
    """As `look_on_github`, by the newest result in the monitor's state folder. Raises `Failed`, `BadInput`."""
    file = state / RESULT
    if not file.exists():
        raise Failed("the monitor has no result yet", file=file, hint="beampermit monitor --help")
    try:
        result = read_result(state)
    except BadInput as error:
        raise BadInput(f"not a result of the monitor: {error.message}", file=file) from None
    return _judged(_beat_of(result), silent_after, now, str(file), result.model)


def _judged(beat: Beat, silent_after: float, now: float, where: str, model: str) -> Alive:
    age = now - beat.at
    if age > silent_after:
        allowed = _hours(silent_after)
        raise Failed(
            f"the monitor of {model} judged its last window {_hours(age)} ago, {allowed} is the limit: {where}",
            hint="beampermit status",
        )
    if age < -SKEW:
        raise Failed(f"the monitor of {model} reports a time {_hours(-age)} in the future: a clock is wrong: {where}")
    return Alive(max(0.0, age), beat.alarms, beat.version, where)


def _body(texts: Texts, result: Result) -> str:
    return f"{texts.heartbeat(result).rstrip()}\n\n<!-- beampermit heartbeat {_beat_of(result).model_dump_json()} -->"


def _beat_of(result: Result) -> Beat:
    alarms = sum(standing.alarmed for standing in result.standings)
    return Beat(at=result.at, version=result.window.version, alarms=alarms)


def _beat(text: str) -> Beat:
    try:
        return Beat.model_validate(parse_json(text.encode(), "heartbeat"))
    except (BadInput, ValidationError):
        raise Outside("the issue of the monitor has a heartbeat that cannot be read") from None


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
