"""What `beampermit doctor` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from beampermit.doctor.organization import by_cause
from beampermit.doctor.results import Examined, Report, Result, State
from beampermit.documents.markdown import logged
from beampermit.documents.screen import wrapped
from beampermit.errors import is_command, more

COLOURS = {State.PASSED: "green", State.FAILED: "red", State.UNKNOWN: "yellow"}
WORDS = {State.PASSED: "passed", State.FAILED: "missing", State.UNKNOWN: "unknown"}
NAMED = 8
"""Projects that are named for one cause."""
NARROWEST = 40
"""Columns of a reason."""


def one_project(report: Report, columns: int) -> Any:
    """Each check, and the next command below; sentences are wrapped, commands are not."""
    from rich.text import Text

    (examined,) = report.projects
    screen = Text(f"{logged(examined.project)}\n", style="bold")
    width = max(len(result.title) for result in examined.results)
    for result in examined.results:
        screen.append_text(_line(result, width, columns))
        if result.fix and result.state is not State.PASSED:
            fix = for_project(result.fix, examined.project)
            screen.append(_indented(f"next: {logged(fix)}", width + 11, 10_000 if is_command(fix) else columns) + "\n")
    screen.append_text(_end(report.notes))
    screen.append(_counts(report.projects))
    return screen


def many_projects(report: Report, columns: int) -> Any:
    """A table of projects, then each cause once with the projects that it is of."""
    from rich.text import Text

    width = max((len(logged(one.project)) for one in report.projects), default=7)
    screen = Text(f"{'project'.ljust(width)}  passed  missing  unknown\n", style="bold")
    for one in report.projects:
        numbers = [one.count(state) for state in (State.PASSED, State.FAILED, State.UNKNOWN)]
        row = f"{logged(one.project).ljust(width)}  {numbers[0]:>6}  {numbers[1]:>7}  {numbers[2]:>7}\n"
        screen.append(row, style="red" if numbers[1] else "")
    for result, projects in by_cause(report):
        screen.append("\n")
        screen.append_text(_line(result, len(result.title), columns))
        screen.append(f"  {', '.join(map(logged, projects[:NAMED]))}{more(len(projects) - NAMED)}\n")
        if result.fix:
            name = projects[0] if len(projects) == 1 else "OWNER/NAME"
            screen.append(f"  next: {logged(for_project(result.fix, name))}\n")
    screen.append("\n")
    screen.append_text(_end(report.notes))
    screen.append(_counts(report.projects))
    return screen


def for_project(fix: str, project: str) -> str:
    """The line with the project's repository in it."""
    parts = project.split("/")
    known = len(parts) >= 2 and not project.startswith("/")
    return fix.replace("{repository}", "/".join(parts[:2]) if known else "OWNER/NAME")


def as_json(report: Report) -> dict[str, Any]:
    """With what can be typed filled in."""
    projects = [
        {
            "project": one.project,
            "results": [
                {**result.model_dump(mode="json"), "fix": for_project(result.fix, one.project)}
                for result in one.results
            ],
        }
        for one in report.projects
    ]
    return {"projects": projects, "notes": list(report.notes), "exit_code": report.exit_code}


def _line(result: Result, width: int, columns: int) -> Any:
    from rich.text import Text

    reason = _indented(logged(result.reason), width + 11, columns).lstrip()
    word = (f"{WORDS[result.state]:<8} ", COLOURS[result.state])
    return Text.assemble(word, f"{result.title.ljust(width)}  {reason}\n")


def _indented(text: str, indent: int, columns: int) -> str:
    return "\n".join(" " * indent + line for line in wrapped(text, max(columns - indent, NARROWEST) + 2))


def _end(notes: Sequence[str]) -> Any:
    from rich.text import Text

    return Text("".join(f"note: {logged(note)}\n" for note in notes), style="dim")


def _counts(projects: Sequence[Examined]) -> str:
    return ", ".join(_numbers(projects))


def _numbers(projects: Sequence[Examined]) -> Iterator[str]:
    for state in (State.PASSED, State.FAILED, State.UNKNOWN):
        yield f"{sum(one.count(state) for one in projects)} {WORDS[state]}"
