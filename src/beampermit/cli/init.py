"""`beampermit init`: contract, workflows and ruleset for an existing repository."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.output import Json, console, progress_console, show
from beampermit.errors import counted

NEXT = (
    "beampermit contract check   # lists the lines of the contract to complete",
    "beampermit check            # what fails, and how to fix it",
    "git add contract.yaml CODEOWNERS .github && git commit",
)

SHOWN = 20
"""Lines of a difference that are printed."""


def init(
    where: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="The repository.", show_default="this one")
    ] = Path(),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Add everything without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; list what would be added.")] = False,
    repository: Annotated[
        str, typer.Option(help="Repository on GitHub that the workflows come from, or your mirror of it.")
    ] = "beampermit/beampermit",
    as_json: Json = False,
) -> None:
    """Add contract and workflows to an existing repository.

    It needs a DVC pipeline. Existing files are not changed.
    """
    from datetime import UTC, datetime

    from beampermit.contract import FILE_NAME
    from beampermit.errors import BadInput
    from beampermit.git import find_top
    from beampermit.project import find_root
    from beampermit.retrofit.additions import STEPS, additions
    from beampermit.retrofit.plan import State, apply, plan
    from beampermit.retrofit.survey import survey as survey_repository

    root = find_top(where.resolve())
    if (project := find_root(where.resolve())) != root:
        raise BadInput(
            f"this folder of the repository has a {FILE_NAME}, and `init` adds what a project at the top needs",
            file=project,
            hint="docs/retrofit.md has the workflow to write for a project in a folder",
        )
    if root != where.resolve():
        progress_console().print(f"files go to the top of the repository: {root}", soft_wrap=True)
    with progress_console().status("reading the repository"):
        survey = survey_repository(root)
        steps = plan(root, additions(survey, repository, datetime.now(UTC).date()))
    if not (yes or dry_run) and as_json:
        raise BadInput("--json asks no questions: add --yes or --dry-run", hint="beampermit init --json --dry-run")
    results = []
    for name, purpose in STEPS.items():
        files = [step for step in steps if step.name == name]
        missing = [step for step in files if step.state is State.ADD]
        confirmed = bool(missing) and not dry_run and (yes or _confirm(name, purpose, [step.path for step in files]))
        for step in files:
            if confirmed:
                apply(root, step)
            added = State.ADD if dry_run else "added" if confirmed else "left out"
            results.append((step, added if step.state is State.ADD else step.state))
    body = {
        "found": {"name": survey.name, "package": survey.package, "branch": survey.branch, "backend": survey.backend},
        "files": [{"file": step.path, "done": str(done), "difference": step.difference} for step, done in results],
        "next": list(NEXT),
    }
    show(body, lambda: _print(results, dry_run), as_json)


def _confirm(name: str, purpose: str, paths: list[str]) -> bool:
    from rich.prompt import Confirm
    from rich.text import Text

    from beampermit.errors import BadInput

    question = Text(f"{name}: {purpose}\n  {', '.join(paths)}\n  add", style="bold")
    try:
        return Confirm.ask(question, console=progress_console(), default=True)
    except EOFError:
        raise BadInput(f"no answer whether to add the {name}", hint="beampermit init --yes") from None


def _print(results: list[tuple[Any, str]], dry_run: bool) -> None:
    from beampermit.documents.markdown import visible

    out = console()
    states = {"add": "would be added", "same": "up to date", "kept": "kept"}
    for step, done in results:
        lines = step.difference.splitlines()[2:] if done == "kept" else []
        shown = lines if dry_run else [line for line in lines if line.startswith("+")]
        note = "; it differs from ours:" if dry_run else "; these lines of ours are missing:"
        out.print(f"{visible(step.path)}: {states.get(done, done)}{note if shown else ''}")
        for line in shown[:SHOWN]:
            out.print(f"    {visible(line, lines=True)}")
        if len(shown) > SHOWN:
            out.print(f"    and {counted(len(shown) - SHOWN, 'more line')}; beampermit init --dry-run --json has all")
    out.print("\nNext steps:")
    for command in NEXT:
        out.print(f"  {command}")
