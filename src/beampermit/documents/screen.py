"""Text for a terminal, printed without wrapping: verdicts with each cause and fix once, fields, columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beampermit.documents.markdown import visible
from beampermit.documents.verdicts import format_counts, steps
from beampermit.errors import counted
from beampermit.verdicts.verdict import Outcome, Verdict

COLOURS = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.SKIPPED: "yellow", Outcome.ERROR: "magenta"}
PLACES = 10
"""Locations named for one verdict."""
WIDEST = 100
"""Columns of running text: longer lines are hard to read on a wide screen."""
CODE = re.compile(r"(`[^`\n]+`)")
BLANK = "\x00"
"""Stands for a space of a command while text is wrapped, so that no command is broken over two lines."""


def render_verdicts(verdicts: Sequence[Verdict], width: int, everything: bool = False) -> Any:
    """A line for each verdict that did not pass (with `everything`, for each), then each cause once."""
    from rich.text import Text

    screen = Text()
    for verdict in verdicts:
        if everything or not verdict.passed:
            screen.append_text(_line(verdict))
    by_id = {verdict.id: verdict for verdict in verdicts}
    for step in steps(verdict for verdict in verdicts if not verdict.until):
        same = [step.id, *step.others]
        waiting = [verdict.id for verdict in verdicts if not {*same}.isdisjoint(verdict.waits_for)]
        screen.append_text(_explanation([by_id[id] for id in same], waiting, min(width, WIDEST)))
    if len(screen):
        screen.append("\n")
    screen.append(format_counts(verdicts), style="bold")
    if not everything and any(verdict.passed for verdict in verdicts):
        screen.append("  (--all lists those that passed)", style="dim")
    return screen


def format_fields(fields: Mapping[str, str]) -> Any:
    """Lines of `name  value`; a value of several lines is indented."""
    from rich.text import Text

    width = max(map(len, fields), default=0)
    values = {name: value.replace("\n", f"\n{' ' * (width + 2)}") for name, value in fields.items()}
    return Text("\n").join(Text.assemble((name.ljust(width), "bold"), f"  {value}") for name, value in values.items())


def format_columns(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Any:
    """Rows in columns as wide as their widest cell."""
    from rich.text import Text

    widths = [max(map(len, cells)) for cells in zip(heading, *rows, strict=True)]
    lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in (heading, *rows)]
    return Text("\n").join([Text(lines[0], style="bold"), *map(Text, lines[1:])])


def _line(verdict: Verdict) -> Any:
    from rich.text import Text

    line = Text.assemble(("● ", COLOURS[verdict.outcome]), f"{verdict.outcome:<8} {verdict.id}  ")
    if verdict.waits_for:
        line.append(f"waits for {', '.join(verdict.waits_for)}", style="dim")
    elif verdict.until:
        line.append(f"put off until the {verdict.until}", style="dim")
    else:
        line.append(visible(f"{verdict.title} ({verdict.by})" if verdict.by else verdict.title))
    return line.append("\n")


def _explanation(same: list[Verdict], waiting: list[str], width: int) -> Any:
    """Verdicts that share a cause, explained once; `waiting` are the ids of those that wait for it."""
    from rich.text import Text

    cause, *others = same
    heading = ", ".join(verdict.id for verdict in same) if others else f"{cause.id}  {visible(cause.title)}"
    block = Text(f"\n{heading}\n", style=f"bold {COLOURS[cause.outcome]}")
    lines = [*wrapped(visible(cause.reason), width), *_places(cause, width)]
    if waiting:
        lines += wrapped(f"{', '.join(waiting)} {'wait' if len(waiting) > 1 else 'waits'} for this.", width)
    block.append("".join(f"  {line}\n" for line in lines), style="not bold default")
    if cause.fix and cause.outcome in (Outcome.FAILED, Outcome.ERROR):
        for line in _fix(cause.fix, width):
            block.append_text(_styled(f"  {line}\n"))
    return block


def _places(verdict: Verdict, width: int) -> Iterator[str]:
    """Where it is, then each other thing that is wrong and where."""
    yield from shortened([*map(visible, verdict.places)], "place")
    for line in shortened([visible(f"{place.place}: {place.reason}") for place in verdict.others], "problem"):
        yield from wrapped(line, width, "  ")


def shortened(lines: Sequence[str], what: str) -> Iterator[str]:
    """The first lines, and how many more there are."""
    yield from lines[:PLACES]
    if len(lines) > PLACES:
        yield f"and {counted(len(lines) - PLACES, f'more {what}')} (--json names them all)"


def _fix(fix: str, width: int) -> Iterator[str]:
    """The Markdown of a fix in lines: paragraphs and items of lists are wrapped, blocks of commands are not."""
    paragraphs = visible(fix, lines=True, limit=10_000).split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if paragraph.startswith("    "):
            yield from textwrap.indent(textwrap.dedent(paragraph), "  ").splitlines()
            continue
        for block in re.split(r"\n(?=- )", paragraph):
            text = " ".join(block.split())
            yield from wrapped(f"Fix: {text}" if number == 0 else text, width, "  " if text.startswith("- ") else "")


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of two columns less than `width`; no word and no command in backticks is broken."""
    whole = CODE.sub(lambda code: code[0].replace(" ", BLANK), text)
    lines = textwrap.wrap(whole, width - 2, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace(BLANK, " ") for line in lines]


def _styled(line: str) -> Any:
    from rich.text import Text

    parts = (
        (part[1:-1], "bold cyan") if CODE.fullmatch(part) else (part, "not bold default") for part in CODE.split(line)
    )
    return Text.assemble(*parts)
