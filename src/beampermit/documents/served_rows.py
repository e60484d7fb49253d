"""Rows of a prediction log for a terminal: a line for each output, and why it is not a plain answer."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beampermit.documents.markdown import visible
from beampermit.live.severity import Severity

WIDEST_NAME = 20
NARROWEST = 24
"""Columns that reasons need beside the other columns; otherwise they stand below."""
HEADING = ("UTC", "version", "row", "output", "value", "severity")
COLOURS = {Severity.MINOR: "yellow", Severity.MAJOR: "red", Severity.INVALID: "magenta"}


def format_rows(records: Iterable[Mapping[str, Any]], outputs: Sequence[str], width: int) -> Any:
    """`records` are those of a log, in order of time; each day has a heading."""
    from rich.text import Text

    listed = [(record, output) for record in records for output in outputs if _has(record, output)]
    cells = [HEADING, *(_cells(record, output) for record, output in listed)]
    used = [place for place in range(len(HEADING)) if any(row[place] for row in cells[1:])]
    widths = [max(len(row[place]) for row in cells) for place in used]
    heading, *lines = ("  ".join(row[place].ljust(w) for place, w in zip(used, widths, strict=True)) for row in cells)
    screen, day = Text(heading.rstrip(), "bold"), ""
    for (record, output), line in zip(listed, lines, strict=True):
        if record["served.at"][:10] != day:
            day = record["served.at"][:10]
            screen.append(f"\n{day}", "bold")
        reason = _reason(record[f"{output}.message"], len(line) + 2, width)
        screen.append(f"\n{line if reason else line.rstrip()}", COLOURS.get(record[f"{output}.severity"], ""))
        screen.append(reason)
    return screen


def _has(record: Mapping[str, Any], output: str) -> bool:
    """Another version may have no such output."""
    return record[f"{output}.severity"] is not None


def _cells(record: Mapping[str, Any], output: str) -> tuple[str, ...]:
    return (
        record["served.at"][11:23],
        f"{record['served.version']}{' beside' if record['served.shadow'] else ''}",
        visible(record["served.row"], limit=WIDEST_NAME),
        visible(output, limit=WIDEST_NAME),
        _value(record[f"{output}.shown"]),
        Severity(record[f"{output}.severity"]).name,
    )


def _value(value: Any) -> str:
    if isinstance(value, list):
        values = {_value(each) for each in value}
        return values.pop() if len(values) == 1 else f"{len(value)} numbers"
    return "NaN" if value != value else f"{value:.6g}"  # noqa: PLR0124 - only NaN differs from itself


def _reason(message: str | None, left: int, width: int) -> str:
    """A reason beside the columns, which take `left` characters, or below them; wrapped."""
    plain = visible(message or "")
    below = width - left < NARROWEST
    indent = 4 if below else left
    lines = textwrap.wrap(plain, max(width - indent, NARROWEST), break_on_hyphens=False)
    joined = f"\n{' ' * indent}".join(lines)
    return joined and (f"\n{' ' * indent}{joined}" if below else f"  {joined}")
