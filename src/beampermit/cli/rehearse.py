"""`beampermit rehearse`: run the project's own workflows on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import Folder, Json, console, progress_console, show

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Run the project's own workflows on this machine (act).")
Base = Annotated[str | None, typer.Option(help="Branch or commit to merge into.", show_default="origin's main branch")]
Head = Annotated[str | None, typer.Option(help="The commit or branch to rehearse.", show_default="HEAD")]
File = Annotated[str | None, typer.Option("--workflow", help="Workflow file, if it is not Beampermit's own.")]
Labels = Annotated[
    list[str] | None, typer.Option("--runner", help="Runner label that this machine serves; may be repeated.")
]
Timeout = Annotated[float | None, typer.Option(min=1, help="Stop after this many seconds.")]
Keep = Annotated[bool, typer.Option(help="Keep the jobs' work trees.")]


@app.command("pull-request")
def pull_request(
    project: Folder = Path(),
    base: Base = None,
    head: Head = None,
    workflow: File = None,
    runner: Labels = None,
    timeout: Timeout = None,
    keep: Keep = False,
    as_json: Json = False,
) -> None:
    """Run the pull-request workflow on HEAD merged into main.

    From a clean clone.
    """
    _rehearse(
        "pull-request", project, as_json, runner, base=base, head=head, workflow=workflow, timeout=timeout, keep=keep
    )


@app.command()
def release(
    project: Folder = Path(),
    head: Head = None,
    workflow: File = None,
    runner: Labels = None,
    timeout: Timeout = None,
    keep: Keep = False,
    as_json: Json = False,
) -> None:
    """Run the release workflow on HEAD as if merged.

    It promotes in the real ledger and registry.
    """
    _rehearse("release", project, as_json, runner, head=head, workflow=workflow, timeout=timeout, keep=keep)


@app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")],
    to: Annotated[
        int | None, typer.Option(min=1, help="Version to go back to.", show_default="the champion before")
    ] = None,
    project: Folder = Path(),
    head: Head = None,
    workflow: File = None,
    runner: Labels = None,
    timeout: Timeout = None,
    keep: Keep = False,
    as_json: Json = False,
) -> None:
    """Run the rollback workflow as if dispatched.

    It rolls back in the real ledger and registry.
    """
    inputs = {"reason": reason, "to": str(to or "")}
    _rehearse(
        "rollback", project, as_json, runner, head=head, inputs=inputs, workflow=workflow, timeout=timeout, keep=keep
    )


@app.command()
def registry(
    verb: Annotated[str, typer.Argument(help="retire, freeze, thaw, re-sign or reconcile.")],
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Version to retire or sign again.", show_default="none")
    ] = None,
    successor: Annotated[str, typer.Option(help="With retire: model or version to be used instead.")] = "",
    pvs_until: Annotated[str, typer.Option(help="With retire: last day of the PVs, such as 2027-01-31.")] = "",
    project: Folder = Path(),
    head: Head = None,
    workflow: File = None,
    runner: Labels = None,
    timeout: Timeout = None,
    keep: Keep = False,
    as_json: Json = False,
) -> None:
    """Run the registry workflow as if dispatched.

    It changes the real ledger and registry.
    """
    of_retirement = {key: text for key, text in (("successor", successor), ("pvs-until", pvs_until)) if text}
    inputs = {"verb": verb, "version": str(version or ""), **of_retirement, "reason": reason}
    _rehearse(
        "registry", project, as_json, runner, head=head, inputs=inputs, workflow=workflow, timeout=timeout, keep=keep
    )


def _rehearse(kind: Any, project: Path, as_json: bool, labels: list[str] | None, **options: Any) -> None:
    from beampermit.project import Project
    from beampermit.rehearsal import rehearse
    from beampermit.rehearsal.display import display, summary

    with display(progress_console()) as watch:
        rehearsal = rehearse(Project.find(project.resolve()), kind, labels=tuple(labels or ()), watch=watch, **options)
    show(rehearsal.model_dump(mode="json"), lambda: console().print(summary(rehearsal)), as_json)
    raise typer.Exit(0 if rehearsal.ok else 1)
