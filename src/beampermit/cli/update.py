"""`beampermit update`: a newer template is merged into the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.output import Folder, Json, console, plain, progress_console, show, shown_progress
from beampermit.errors import BadInput, counted

if TYPE_CHECKING:
    from beampermit.updating.update import Outcome

SHOWN = 20
"""Lines of the changelog that a terminal gets."""
ANSWER_HELP = "Answer to a question of the template, such as a new one."


def update(
    to: Annotated[
        str, typer.Option("--to", metavar="VERSION", help="Tag, branch or commit.", show_default="what is installed")
    ] = "",
    check: Annotated[bool, typer.Option("--check", help="Write nothing; say what is newer (exit code 1).")] = False,
    answer: Annotated[list[str] | None, typer.Option("--answer", "-a", metavar="KEY=VALUE", help=ANSWER_HELP)] = None,
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing; take defaults for new questions.")] = False,
    propose: Annotated[bool, typer.Option("--propose", help="In a job: open a pull request instead.")] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Merge a newer template into the project.

    What was not changed on both sides is merged by git; where both were, the file has conflict markers, and the exit
    code is 3. `pipeline/` is replaced. Interrupted, the next run finishes it. docs/updates.md
    """
    from beampermit.generation.answers import ask_on_terminal, parse
    from beampermit.updating.update import check as look
    from beampermit.updating.update import find_project
    from beampermit.updating.update import update as run

    git = find_project(project)
    if sum((check, propose)) > 1:
        raise BadInput("--check and --propose are two ways to run it: give one of them")
    if propose and (to or answer):
        raise BadInput("--propose takes the template that is installed, and defaults for what is new")
    if propose:
        _propose(git.root, as_json)
        return
    if check:
        outcome = look(git, to)
        show(_as_json(outcome), lambda: _print_check(outcome), as_json)
        raise typer.Exit(1 if outcome.staged else 0)
    ask = None if no_input or as_json else ask_on_terminal
    with shown_progress() as progress:
        outcome = run(git, to, given=parse(answer or []), ask=ask, progress=progress)
    show(_as_json(outcome), lambda: _print_done(outcome), as_json)
    if outcome.staged and outcome.staged.conflicts:
        raise typer.Exit(3)


def _propose(root: Path, as_json: bool) -> None:
    from beampermit.github.client import Client
    from beampermit.updating.proposing import propose

    client = Client.of_job("no pull request can be opened")
    with shown_progress() as progress:
        proposed = propose(root, client, progress)
    line = (
        f"{proposed.address}: {counted(proposed.files, 'file')}" if proposed.address else "the template is up to date"
    )
    body = {"pull_request": proposed.address, "files": proposed.files, "conflicts": list(proposed.conflicts)}
    show(body, lambda: console().print(line), as_json)


def _print_check(outcome: Outcome) -> None:
    out, staged = console(), outcome.staged
    if outcome.difference == "older":
        out.print(
            f"nothing newer here: the project has the template of {plain(outcome.old)}, this installation {outcome.new}"
        )
        return
    if not staged:
        out.print(f"up to date: the template of {outcome.new}")
        return
    out.print(f"the template of {plain(outcome.old)} can be updated to {outcome.new}; beampermit update")
    _print_files(outcome)


def _print_done(outcome: Outcome) -> None:
    staged = outcome.staged
    if not staged:
        console().print(f"up to date: the template of {outcome.new}")
        return
    _print_files(outcome)
    if staged.conflicts:
        files = " ".join(plain(name) for name in staged.conflicts)
        console().print(f"{counted(len(staged.conflicts), 'file')} to look at. When each is right: git add {files}")
        return
    console().print(f"updated to the template of {staged.new}. Next: beampermit check, then commit")


def _print_files(outcome: Outcome) -> None:
    staged = outcome.staged
    if not staged:
        return
    out, notes = console(), progress_console()
    for line in outcome.changes[:SHOWN]:
        out.print(f"  {line}")
    if len(outcome.changes) > SHOWN:
        out.print(f"  … and {counted(len(outcome.changes) - SHOWN, 'line')} more of the changelog")
    for change in staged.changes:
        if change.path not in staged.conflicts:
            out.print(f"  {change.kind:8} {plain(change.path)}")
    for path in staged.conflicts:
        out.print(f"  conflict {plain(path)}")
    for key, value in outcome.defaults.items():
        notes.print(f"new question, answered by its default: {key}={plain(value)}", soft_wrap=True, markup=False)
    for note in staged.notes:
        notes.print(plain(note), style="yellow", soft_wrap=True, markup=False)


def _as_json(outcome: Outcome) -> dict[str, Any]:
    staged = outcome.staged
    changes = [{"file": change.path, "change": change.kind} for change in staged.changes] if staged else []
    return {
        "old": outcome.old,
        "new": outcome.new,
        "template": outcome.difference,
        "changes": changes,
        "conflicts": list(staged.conflicts) if staged else [],
        "notes": list(staged.notes) if staged else [],
        "defaults": dict(outcome.defaults),
        "changelog": list(outcome.changes),
    }
