"""`beampermit protect`: apply the ruleset of the protected branch to GitHub, and audit the branch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Folder, Json, console, show

if TYPE_CHECKING:
    from beampermit.github.rulesets import Applied

OF_ORGANIZATION = "rulesets"
app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Protect the branch that models are released from.")
Name = Annotated[
    str | None,
    typer.Option(metavar="OWNER/NAME", help="The repository on GitHub.", show_default="that of origin"),
]


Organization = Annotated[
    str | None, typer.Option(metavar="NAME", help="The organization's rulesets, for many repositories at once.")
]
Rules = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|FOLDER",
        help="A ruleset, or all of a folder.",
        show_default="those of the project's .github/rulesets, or with --organization of rulesets/ here",
    ),
]


@app.command()
def apply(
    file: Rules = None,
    repository: Name = None,
    organization: Organization = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference; change nothing.")] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Apply the rulesets of the branch and of the ledger to GitHub.

    GITHUB_TOKEN must belong to an administrator; with --organization, to an owner of it.
    """
    if organization is not None:
        done = _apply_to_organization(organization, file, repository, dry_run)
        _show_applied({"organization": organization}, done, dry_run, as_json)
        return
    from beampermit.git import Git, find_top
    from beampermit.github.context import require_client
    from beampermit.github.rulesets import LEDGER, MAIN, apply_ruleset, read_ruleset, read_rulesets

    root = find_top(project.resolve())
    rulesets = read_rulesets(file) if file else [read_ruleset(root / MAIN), read_ruleset(root / LEDGER)]
    client = require_client(Git(root), repository or "")
    done = [apply_ruleset(client, ruleset, dry_run=dry_run) for ruleset in rulesets]
    _show_applied({"repository": client.repository}, done, dry_run, as_json)


def _apply_to_organization(
    organization: str, file: Path | None, repository: str | None, dry_run: bool
) -> list[Applied]:
    from beampermit.errors import BadInput
    from beampermit.github.context import organization_client
    from beampermit.github.rulesets import COPY, apply_ruleset, read_rulesets

    if repository:
        raise BadInput("--organization and --repository name two places", hint="give one of them")
    client = organization_client(organization)
    rulesets = read_rulesets(file or Path(OF_ORGANIZATION), COPY)
    return [apply_ruleset(client, ruleset, organization, dry_run=dry_run) for ruleset in rulesets]


def _show_applied(place: dict[str, str], done: Sequence[Applied], dry_run: bool, as_json: bool) -> None:
    def text() -> None:
        out = console()
        for applied in done:
            if applied.difference:
                out.print(applied.difference)
            would = "would be " if dry_run and applied.difference else ""
            out.print(f"ruleset {applied.name} of {next(iter(place.values()))}: {would}{applied.done}")

    bodies = [
        {"ruleset": applied.name, "done": applied.done, "difference": applied.difference.splitlines()}
        for applied in done
    ]
    show({**place, "dry_run": dry_run, "rulesets": bodies}, text, as_json)


@app.command()
def audit(
    repository: Name = None,
    organization: Organization = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER", help="With --organization: its rulesets in git.", show_default="rulesets/ here"
        ),
    ] = None,
    branch: Annotated[
        str | None, typer.Option(help="The branch.", show_default="the job's base branch, else origin's main branch")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Check that GitHub protects the branch as needed.

    With --organization: that its rulesets are those of the files. Exit code 1: it is not so, or GitHub does not say.
    """
    if organization is not None:
        done = _apply_to_organization(organization, file, repository, dry_run=True)
        _show_applied({"organization": organization}, done, True, as_json)
        raise typer.Exit(1 if any(applied.difference for applied in done) else 0)
    if file is not None:
        from beampermit.errors import BadInput

        raise BadInput("--file goes with --organization: a repository is audited by what it needs", hint="leave it out")
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
