"""`beampermit init`: contract, workflows and ruleset for a repository that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.output import Json, console, progress_console, show

NEXT = (
    "beampermit contract check   # names each line of the contract that waits for you",
    "beampermit check            # what does not pass, and what to do first",
    "git add contract.yaml CODEOWNERS .github && git commit",
)


def init(
    where: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="The repository.", show_default="this one")
    ] = Path(),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take every step without being asked.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; say what would be done.")] = False,
    repository: Annotated[
        str, typer.Option(help="Repository on GitHub that workflows come from: your mirror if you have one.")
    ] = "beampermit/beampermit",
    as_json: Json = False,
) -> None:
    """Add contract and workflows to a repository that exists.

    It needs a DVC pipeline. No file that is there is changed.
    """
    from datetime import UTC, datetime

    from beampermit.errors import BadInput
    from beampermit.git import find_root
    from beampermit.retrofit.additions import STEPS, additions
    from beampermit.retrofit.plan import State, apply, plan
    from beampermit.retrofit.survey import survey

    root = find_root(where.resolve())
    with progress_console().status("looking at the repository"):
        found = survey(root)
        steps = plan(root, additions(found, repository, datetime.now(UTC).date()))
    if not (yes or dry_run) and as_json:
        raise BadInput("with --json nobody is asked", hint="beampermit init --json --dry-run")
    taken = []
    for name, why in STEPS.items():
        files = [step for step in steps if step.name == name]
        wanted = any(step.state is State.ADD for step in files)
        go = wanted and not dry_run and (yes or _asked(name, why, [step.path for step in files]))
        for step in files:
            if go:
                apply(root, step)
            said = "added" if go and step.state is State.ADD else "left out" if wanted and not dry_run else step.state
            taken.append((step, step.state if step.state is not State.ADD else said))
    body = {
        "found": {"name": found.name, "package": found.package, "branch": found.branch, "backend": found.backend},
        "files": [{"file": step.path, "done": str(done), "difference": step.difference} for step, done in taken],
        "next": list(NEXT),
    }
    show(body, lambda: _tell(taken, dry_run), as_json)


def _asked(name: str, why: str, paths: list[str]) -> bool:
    from rich.prompt import Confirm
    from rich.text import Text

    from beampermit.errors import BadInput

    words = Text(f"{name}: {why}\n  {', '.join(paths)}\n  add", style="bold")
    try:
        return Confirm.ask(words, console=progress_console(), default=True)
    except EOFError:
        raise BadInput(f"nobody answers whether to add the {name}", hint="beampermit init --yes") from None


def _tell(taken: list[tuple[Any, str]], dry_run: bool) -> None:
    from beampermit.documents.markdown import visible

    say = {"add": "would be added", "same": "is there", "kept": "is there and stays as it is"}
    for step, done in taken:
        console().print(f"{visible(step.path)}: {say.get(done, done)}", markup=False, soft_wrap=True)
        if step.difference and done == "kept":
            lines = step.difference.splitlines()
            shown = lines[2:] if dry_run else [line for line in lines[2:] if line.startswith("+")]
            for line in shown[:20]:
                console().print(f"    {visible(line, lines=True)}", markup=False, soft_wrap=True)
            if len(shown) > 20:
                console().print(f"    and {len(shown) - 20} lines more; beampermit init --dry-run --json has all")
    console().print("\nWhat to do next:")
    for line in NEXT:
        console().print(f"  {line}", markup=False, soft_wrap=True)
