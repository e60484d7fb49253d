"""`beampermit update`: a newer template is merged into the project."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.asking import answers_are_told, ask_and_keep
from beampermit.cli.output import Folder, Json, console, plain, plain_lines, progress_console, show, shown_progress
from beampermit.errors import BadInput, counted
from beampermit.progress import Progress

if TYPE_CHECKING:
    from beampermit.updating.proposing import Proposed
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
    from beampermit.generation.answers import parse
    from beampermit.updating.update import check as look
    from beampermit.updating.update import find_project
    from beampermit.updating.update import update as run

    git = find_project(project)
    if check and propose:
        raise BadInput("--check and --propose are two ways to run it: give one of them")
    if propose and (to or answer):
        raise BadInput("--propose takes the template that is installed, and defaults for what is new")
    if propose:
        _propose(git.root, as_json)
        return
    given = parse(answer or [])
    if check:
        outcome = look(git, to, given=given)
        show(_as_json(outcome), lambda: _print_check(outcome, to), as_json)
        raise typer.Exit(1 if outcome.staged and (outcome.unfinished or outcome.staged.changes) else 0)
    kept: dict[str, str] = {}
    ask = None if no_input or as_json else partial(ask_and_keep, kept)
    with answers_are_told(kept), _progress_after_questions() as progress:
        outcome = run(git, to, given=given, ask=ask, progress=progress)
    show(_as_json(outcome), lambda: _print_done(outcome, git.root), as_json)
    if outcome.staged and outcome.staged.conflicts:
        raise typer.Exit(3)


@contextmanager
def _progress_after_questions() -> Iterator[Progress]:
    """Progress that is shown from its first step on: a spinner would be drawn over a question."""
    with ExitStack() as until:
        shown: list[Progress] = []

        def progress(step: str, done: int = 0, total: int = 0, /) -> None:
            if not shown:
                shown.append(until.enter_context(shown_progress()))
            shown[0](step, done, total)

        yield progress


def _propose(root: Path, as_json: bool) -> None:
    from beampermit.github.client import Client
    from beampermit.updating.proposing import propose

    client = Client.of_job("no pull request can be opened")
    with shown_progress() as progress:
        proposed = propose(root, client, progress)
    body = {"pull_request": proposed.address, "files": proposed.files, "conflicts": list(proposed.conflicts)}
    show(body, lambda: console().print("\n".join(_proposed(proposed)), soft_wrap=True), as_json)
    if proposed.conflicts and not proposed.address:
        raise typer.Exit(3)


def _proposed(proposed: Proposed) -> list[str]:
    conflicts = [f"  conflict {plain(path)}" for path in proposed.conflicts]
    left = counted(len(conflicts), "file")
    if proposed.address:
        rest = [f"{left} in conflict not in it: in a clone, beampermit update", *conflicts] if conflicts else []
        return [f"{proposed.address}: {counted(proposed.files, 'file')}", *rest]
    if conflicts:
        return [f"nothing to propose, but {left} in conflict: in a clone, beampermit update", *conflicts]
    return ["the template is up to date"]


def _print_check(outcome: Outcome, to: str = "") -> None:
    out, staged, old, new = console(), outcome.staged, plain(outcome.old), plain(outcome.new)
    command = f"beampermit update --to {plain(shlex.quote(to))}" if to else "beampermit update"
    if outcome.unfinished:
        out.print(f"an update to the template of {new} was interrupted; beampermit update finishes it")
    elif outcome.difference == "older" and not to:
        out.print(f"nothing newer here: the project has the template of {old}, this installation {new}")
        return
    elif not staged or not staged.changes:
        out.print(f"up to date: the template of {new}")
        return
    elif outcome.difference == "same":
        out.print(f"the template of {new} is there; with these answers it changes files: {command}")
    elif outcome.difference == "older":
        out.print(f"the template of {old} can be set back to {new}; {command}")
    else:
        out.print(f"the template of {old} can be updated to {new}; {command}")
    _print_files(outcome)


def _print_done(outcome: Outcome, root: Path) -> None:
    staged = outcome.staged
    if not staged:
        console().print(f"up to date: the template of {plain(outcome.new)}")
        return
    _print_files(outcome)
    if staged.conflicts:
        there = () if root == Path.cwd() else ("-C", str(root))
        command = plain(shlex.join(["git", *there, "add", *staged.conflicts]))
        console().print(f"{counted(len(staged.conflicts), 'file')} to look at. When each is right: {command}")
        return
    console().print(f"updated to the template of {plain(staged.new)}. Next: beampermit check, then commit")


def _print_files(outcome: Outcome) -> None:
    staged = outcome.staged
    if not staged:
        return
    out, notes = console(), progress_console()
    for line in outcome.changes[:SHOWN]:
        out.print(plain_lines([f"  {line}"]))
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
        "unfinished": outcome.unfinished,
        "changes": changes,
        "conflicts": list(staged.conflicts) if staged else [],
        "notes": list(staged.notes) if staged else [],
        "defaults": dict(outcome.defaults),
        "changelog": list(outcome.changes),
    }
