"""`beampermit promote`, `rollback`, `retire`, `freeze`, `thaw`: what moves the champion, or keeps it where it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.output import Folder, Json, KeyFile, console, show, shown_progress
from beampermit.progress import Progress

Reason = Annotated[str, typer.Option(help="Why, for the ledger.")]


def promote(
    permit: Annotated[Path, typer.Option(help="The signed permit.")] = Path("permit.dsse.json"),
    key: KeyFile = None,
    branch: Annotated[
        str | None, typer.Option(help="Branch of origin that must contain the commit.", show_default="any")
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Why, for the ledger.", show_default="the first line of the commit's message")
    ] = "",
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Make the permit's model the champion.

    Registers it, tests the deployment, writes the ledger and moves the alias.
    """
    from datetime import UTC, datetime
    from functools import partial

    from beampermit.environments.environment import environment_of
    from beampermit.interlocks.families import load_interlocks
    from beampermit.permit import keys
    from beampermit.permit.envelope import read_envelope
    from beampermit.permit.public_keys import read_public_keys
    from beampermit.permit.verification import verify_interlocks
    from beampermit.project import Project
    from beampermit.registry.deployment import deploy
    from beampermit.registry.promotion import Promotion

    found = Project.find(project.resolve())
    signed = read_envelope(permit, read_public_keys(key or found.path(keys.PUBLIC_IN_PROJECT)), now=datetime.now(UTC))
    verify_interlocks(signed.statement, load_interlocks())
    test = partial(deploy, found, environment_of(found.root), signed.statement)
    with opened(found) as (ledger, registry, progress):
        moved = Promotion(found, ledger, registry, signed, test, progress, branch).run(reason)
    _say(moved, "promoted" if moved.new else "already champion", as_json)


def rollback(
    reason: Reason,
    to: Annotated[
        int | None, typer.Option(min=1, help="Version to go back to.", show_default="the champion before")
    ] = None,
    retired: Annotated[bool, typer.Option("--retired", help="Also to a version that was retired.")] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Make an earlier champion the champion again.

    Also while promotions are frozen.
    """
    from beampermit.registry.operations import rollback as go_back

    with _change(project) as change:
        moved = go_back(change, to=to, reason=reason, retired=retired)
    _say(moved, "rolled back" if moved.new else "already champion (--to VERSION goes further back)", as_json)


def retire(
    reason: Reason,
    version: Annotated[
        int | None, typer.Option(min=1, help="Version to retire.", show_default="the champion, and so the model")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Take the champion out of service without a successor.

    Or, with --version, rule out a rollback to a former champion.
    """
    from beampermit.registry.operations import retire as take_out

    with _change(project) as change:
        moved = take_out(change, version=version, reason=reason)
    _say(moved, "retired" if moved.new else "already retired", as_json)


def freeze(reason: Reason, project: Folder = Path(), as_json: Json = False) -> None:
    """Refuse promotions until `thaw`.

    Rollback and retire stay possible.
    """
    from beampermit.registry.operations import freeze as close

    with _change(project) as change:
        moved = close(change, reason=reason)
    _say(moved, "frozen" if moved.new else "already frozen", as_json)


def thaw(reason: Reason, project: Folder = Path(), as_json: Json = False) -> None:
    """Allow promotions again."""
    from beampermit.registry.operations import thaw as reopen

    with _change(project) as change:
        moved = reopen(change, reason=reason)
    _say(moved, "thawed" if moved.new else "already thawed", as_json)


@contextmanager
def opened(project: Any) -> Iterator[tuple[Any, Any, Progress]]:
    """Ledger and registry of a project, and a line of progress on a terminal."""
    from beampermit.registry.ledger import Ledger
    from beampermit.registry.mlflow import Registry, is_new, registry_uri

    uri = registry_uri(project.root)
    opening = "make a new registry: some seconds, once" if is_new(uri) else "open the registry"
    with shown_progress() as progress:
        progress(opening)
        yield Ledger(project.git), Registry(uri), progress


@contextmanager
def _change(folder: Path) -> Iterator[Any]:
    """What a verb that only writes the ledger needs."""
    from beampermit.project import Project
    from beampermit.registry.operations import Session

    project = Project.find(folder.resolve())
    with opened(project) as (ledger, registry, progress):
        yield Session(project.git, ledger, registry, project.contract.model.name, progress)


def _say(moved: Any, done: str, as_json: bool) -> None:
    event = moved.event

    def text() -> None:
        console().print(
            f"{done}: {event.model} version {event.version}, commit {event.commit[:12]}, "
            f"at {event.at} by {event.by}: {event.reason}",
        )
        for line in moved.changes:
            console().print(f"  {line}")

    show({"new": moved.new, "event": event.model_dump(mode="json"), "changes": moved.changes}, text, as_json)


AGREED = "the registry matches the ledger"


def reconcile(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Register again what was lost: from ledger, commits and DVC remote.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; exit 1 if the registry differs from the ledger.")
    ] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Correct the registry from the ledger.

    Prints what was different.
    """
    from functools import partial

    from beampermit.errors import BadInput
    from beampermit.project import Project
    from beampermit.registry.reconcile import reconcile as agree

    if rebuild and dry_run:
        raise BadInput("--rebuild and --dry-run exclude each other", hint="beampermit reconcile --dry-run")
    found = Project.find(project.resolve())
    model = found.contract.model.name
    if dry_run:
        _look(found, model, as_json)
        return
    with opened(found) as (ledger, registry, progress):
        moved: tuple[str, ...] = ()
        if rebuild:
            from beampermit.registry.models import fetch_from_dvc
            from beampermit.registry.rebuild import rebuild as register_again

            moved = register_again(ledger, registry, model, partial(fetch_from_dvc, found), progress)
        moved += agree(ledger, registry, model, progress)
        standing = ledger.champion(model)

    def text() -> None:
        for line in moved or (AGREED,):
            console().print(line)

    show({"champion": standing and standing.version, "changes": moved}, text, as_json)


def _look(project: Any, model: str, as_json: bool) -> None:
    """Say what differs; the exit code is 1 where anything does."""
    from beampermit.registry.mlflow import registry_uri, require_registry
    from beampermit.registry.reconcile import find_differences

    require_registry(registry_uri(project.root))
    with opened(project) as (ledger, registry, progress):
        found = find_differences(ledger, registry, model, progress)
        standing = ledger.champion(model)

    def text() -> None:
        out = console()
        if not found:
            out.print(AGREED)
            return
        out.print("the registry does NOT match the ledger; these changes are needed:")
        for line in found:
            out.print(f"  {line}")
        out.print("  next: beampermit reconcile")

    show({"champion": standing and standing.version, "dry_run": True, "changes": found}, text, as_json)
    raise typer.Exit(1 if found else 0)


def history(
    last: Annotated[
        int | None, typer.Option(min=1, help="Print so many events, the newest.", show_default="all")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Print the ledger: what happened, when, by whom and why."""
    from beampermit.project import Project
    from beampermit.registry.history import render_history
    from beampermit.registry.ledger import Ledger

    ledger = Ledger(Project.find(project.resolve()).git)
    ledger.fetch()
    ledger_state = ledger.read()
    events = ledger_state.events[-last:] if last else ledger_state.events
    screen = console()
    show(
        [event.model_dump(mode="json") for event in events],
        lambda: screen.print(render_history(ledger_state, screen.width, last)),
        as_json,
    )


def publish(
    permit: Annotated[Path, typer.Option(help="The signed permit that was promoted.")] = Path("permit.dsse.json"),
    documents: Annotated[
        Path | None, typer.Option(help="Folder of the documents.", show_default="that of the permit")
    ] = None,
    key: KeyFile = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Publish a version's documents as a release on GitHub.

    A release that is there already is completed.
    """
    from beampermit.github.context import require_client
    from beampermit.permit import keys
    from beampermit.permit.envelope import read_envelope
    from beampermit.permit.public_keys import read_public_keys
    from beampermit.project import Project
    from beampermit.publishing import publish_version
    from beampermit.registry.ledger import Ledger

    found = Project.find(project.resolve())
    statement = read_envelope(permit, read_public_keys(key or found.path(keys.PUBLIC_IN_PROJECT))).statement
    client = require_client(found.git)
    done = publish_version(client, Ledger(found.git), statement, documents or permit.parent)
    said = "published" if done.new else "already published"
    line = f"{said}: {done.address}" + (f", uploaded {', '.join(done.uploaded)}" if done.uploaded else "")
    body = {"address": done.address, "new": done.new, "uploaded": done.uploaded}
    show(body, lambda: console().print(line), as_json)
