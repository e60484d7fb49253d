"""`beampermit protect`: bring the rules of the protected branch to GitHub, and see whether they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Folder, Json, console, show

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Protect the branch that models are released from.")
Name = Annotated[
    str | None,
    typer.Option(metavar="OWNER/NAME", help="The repository on GitHub.", show_default="where origin lies"),
]


@app.command()
def apply(
    file: Annotated[
        Path | None, typer.Option(help="The ruleset.", show_default=".github/rulesets/main.json of the project")
    ] = None,
    repository: Name = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference, change nothing.")] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Apply the ruleset file to GitHub.

    GITHUB_TOKEN must be an administrator's.
    """
    from beampermit.git import Git, find_root
    from beampermit.github.context import require_client
    from beampermit.github.rulesets import MAIN, read_ruleset
    from beampermit.github.rulesets import apply_ruleset as bring

    root = find_root(project.resolve())
    ruleset = read_ruleset(file or root / MAIN)
    client = require_client(Git(root), repository or "")
    found = bring(client, ruleset, dry_run=dry_run)
    said = {"created": "made", "updated": "changed", "unchanged": "stands as the file says"}[found.done]
    would = "would be " if dry_run and found.difference else ""

    def text() -> None:
        out = console()
        if found.difference:
            out.print(found.difference, markup=False, soft_wrap=True)
        out.print(f"ruleset {found.name} of {client.repository}: {would}{said}", markup=False, soft_wrap=True)

    value = {"repository": client.repository, "ruleset": found.name, "dry_run": dry_run}
    show({**value, "done": found.done, "difference": found.difference.splitlines()}, text, as_json)


@app.command()
def audit(
    repository: Name = None,
    branch: Annotated[
        str | None, typer.Option(help="The branch.", show_default="where this job's changes go, or origin's main one")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Check that GitHub protects the branch as needed.

    Exit code 1 unless it is provably protected.
    """
    from beampermit.git import find_root
    from beampermit.interlocks.repository.audit import audit as judge
    from beampermit.project import Project

    found = judge(Project(find_root(project.resolve())), repository or "", branch or "")
    show(found.model_dump(mode="json"), lambda: _print(found), as_json)
    raise typer.Exit(0 if found.protected else 1)


def _print(found: Any) -> None:
    out = console()
    word = "protected" if found.protected else "NOT protected"
    out.print(f"{found.branch} of {found.repository} is {word} ({found.api})", markup=False, soft_wrap=True)
    for line in found.gaps:
        out.print(f"  gap: {line}", markup=False, soft_wrap=True)
    for line in found.notes:
        out.print(f"  note: {line}", markup=False, soft_wrap=True)
    if found.gaps:
        out.print("  next: beampermit protect apply, by an administrator", markup=False, soft_wrap=True)
