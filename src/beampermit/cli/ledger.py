"""`beampermit reconcile` and `history`: the registry as the ledger has it, and the ledger itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.options import Folder
from beampermit.cli.output import Json, console, show
from beampermit.cli.promotion import opened

AGREED = "the registry says what the ledger says"


def reconcile(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Register again what was lost: from ledger, commits and DVC remote.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; exit 1 where the registry says anything else.")
    ] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Make the registry say what the ledger says, and say what was otherwise."""
    from functools import partial

    from beampermit.errors import BadInput
    from beampermit.project import Project
    from beampermit.registry.reconcile import reconcile as agree

    if rebuild and dry_run:
        raise BadInput("a rebuild that changes nothing rebuilds nothing", hint="beampermit reconcile --dry-run")
    found = Project.find(project.resolve())
    model = found.contract.model.name
    if dry_run:
        _look(found, model, as_json)
        return
    with opened(found) as (ledger, registry, watch):
        moved: tuple[str, ...] = ()
        if rebuild:
            from beampermit.registry.rebuild import rebuild as register_again
            from beampermit.registry.recovery import recover

            moved = register_again(ledger, registry, model, partial(recover, found), watch)
        moved += agree(ledger, registry, model, watch)
        standing = ledger.champion(model)

    def text() -> None:
        for line in moved or (AGREED,):
            console().print(line, markup=False, soft_wrap=True)

    show({"champion": standing and standing.version, "moved": moved}, text, as_json)


def _look(project: Any, model: str, as_json: bool) -> None:
    """Say what differs; the exit code is 1 where anything does."""
    from beampermit.registry.differences import differences
    from beampermit.registry.mlflow import must_exist, registry_uri

    must_exist(registry_uri(project.root))
    with opened(project) as (ledger, registry, watch):
        found = differences(ledger, registry, model, watch)
        standing = ledger.champion(model)

    def text() -> None:
        out = console()
        if not found:
            out.print(AGREED)
            return
        out.print("the registry does NOT say what the ledger says; this is to be done:")
        for line in found:
            out.print(f"  {line}", markup=False, soft_wrap=True)
        out.print("  next: beampermit reconcile")

    show({"champion": standing and standing.version, "dry_run": True, "differs": found}, text, as_json)
    raise typer.Exit(1 if found else 0)


def history(
    last: Annotated[
        int | None, typer.Option(min=1, help="Print so many events, the newest.", show_default="all")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Print the ledger: what was promoted, rolled back, retired, frozen and thawed, when, by whom and why."""
    from beampermit.project import Project
    from beampermit.registry.history import table
    from beampermit.registry.ledger import Ledger

    ledger = Ledger(Project.find(project.resolve()).git)
    ledger.fetch()
    chronicle = ledger.chronicle()
    events = chronicle.events[-last:] if last else chronicle.events
    show(
        [event.model_dump(mode="json") for event in events],
        lambda: console().print(table(chronicle, last)),
        as_json,
    )
