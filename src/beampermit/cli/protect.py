"""`beampermit protect`: apply the ruleset of the protected branch to GitHub, and audit the branch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Folder, Json, console, show

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Protect the branch that models are released from.")
Name = Annotated[
    str | None,
    typer.Option(metavar="OWNER/NAME", help="The repository on GitHub.", show_default="that of origin"),
]


@app.command()
def apply(
    file: Annotated[
        Path | None,
        typer.Option(help="The ruleset.", show_default="main.json and ledger.json of the project's .github/rulesets"),
    ] = None,
    repository: Name = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference; change nothing.")] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Apply the rulesets of the branch and of the ledger to GitHub.

    GITHUB_TOKEN must belong to an administrator.
    """
    from beampermit.git import Git, find_top
    from beampermit.github.context import require_client
    from beampermit.github.rulesets import LEDGER, MAIN, apply_ruleset, read_ruleset

    root = find_top(project.resolve())
    rulesets = [read_ruleset(each) for each in ([file] if file else [root / MAIN, root / LEDGER])]
    client = require_client(Git(root), repository or "")
    done = [apply_ruleset(client, ruleset, dry_run=dry_run) for ruleset in rulesets]

    def text() -> None:
        out = console()
        for applied in done:
            if applied.difference:
                out.print(applied.difference)
            would = "would be " if dry_run and applied.difference else ""
            out.print(f"ruleset {applied.name} of {client.repository}: {would}{applied.done}")

    bodies = [
        {"ruleset": applied.name, "done": applied.done, "difference": applied.difference.splitlines()}
        for applied in done
    ]
    show({"repository": client.repository, "dry_run": dry_run, "rulesets": bodies}, text, as_json)


@app.command()
def audit(
    repository: Name = None,
    branch: Annotated[
        str | None, typer.Option(help="The branch.", show_default="the job's base branch, else origin's main branch")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Check that GitHub protects the branch as needed.

    Exit code 1: it is not, or GitHub does not say.
    """
    from beampermit.interlocks.repository.audit import audit as audit_branch
    from beampermit.project import Project

    result = audit_branch(Project.find(project.resolve()), repository or "", branch or "")

    def text() -> None:
        out = console()
        state = "protected" if result.protected else "NOT protected"
        out.print(f"{result.branch} of {result.repository} is {state} ({result.api})")
        for gap in result.gaps:
            out.print(f"  gap: {gap}")
        for note in result.notes:
            out.print(f"  note: {note}")
        if result.gaps:
            out.print("An administrator can apply the ruleset:\n  beampermit protect apply")

    show(result.model_dump(mode="json"), text, as_json)
    raise typer.Exit(0 if result.protected else 1)
