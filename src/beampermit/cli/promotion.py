"""`beampermit promote`, `rollback`, `retire`, `freeze`, `thaw`, `re-sign`, `reconcile`, `history`, `publish`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.output import Folder, Json, console, show, shown_progress
from beampermit.cli.releases import tell_releases

if TYPE_CHECKING:
    from beampermit.progress import Progress
    from beampermit.project import Project
    from beampermit.registry.event import Event
    from beampermit.registry.ledger import Ledger
    from beampermit.registry.mlflow import Registry
    from beampermit.registry.operations import Result, Session
    from beampermit.registry.promotion import Promotion

Reason = Annotated[str, typer.Option(help="Why, for the ledger.")]
Branch = Annotated[str | None, typer.Option(help="Branch of origin that must contain the commit.", show_default="any")]


def promote(
    permit: Annotated[Path, typer.Option(help="The signed permit.")] = Path("permit.dsse.json"),
    branch: Branch = None,
    reason: Annotated[
        str, typer.Option(help="Why, for the ledger.", show_default="the first line of the commit's message")
    ] = "",
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Make the permit's model the champion.

    Verifies it with the keys of the protected branch, registers it, tests the deployment, writes the ledger and moves
    the alias. The first promotion creates the registry where MLFLOW_TRACKING_URI names a database that is not there.
    """
    with promoting(project, permit, branch) as promotion:
        result = promotion.run(reason)
    print_result(result, "promoted" if result.new else "already champion", as_json)


def rollback(
    reason: Reason,
    to: Annotated[
        int | None, typer.Option(min=1, help="Version to go back to.", show_default="the champion before")
    ] = None,
    retired: Annotated[bool, typer.Option("--retired", help="Allow a version that was retired.")] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Make an earlier champion the champion again.

    Also while promotions are frozen.
    """
    from beampermit.registry import operations

    with _session(project) as session:
        result = operations.rollback(session, to=to, reason=reason, retired=retired)
    print_result(result, "rolled back" if result.new else "already champion (--to VERSION goes further back)", as_json)
    tell_releases(project)


def retire(
    reason: Reason,
    version: Annotated[
        int | None,
        typer.Option(
            min=1, help="Version to retire.", show_default="the champion, which takes the model out of service"
        ),
    ] = None,
    successor: Annotated[
        str, typer.Option(metavar="MODEL|VERSION", help="What is to be used instead.", show_default="nothing")
    ] = "",
    pvs_until: Annotated[
        str,
        typer.Option(metavar="DATE|DURATION", help="The last day of its PVs, in UTC.", show_default="they stay"),
    ] = "",
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Take the champion out of service: nothing takes its place.

    Or, with --version, exclude a former champion from rollback. Its PVs stay, INVALID with the reason. A successor and
    a last day can be added later by the same command.
    """
    from beampermit.registry import operations

    until = moment_of(pvs_until)
    with _session(project) as session:
        result = operations.retire(session, version=version, reason=reason, successor=successor or None, until=until)
    print_result(result, "retired" if result.new else "already retired", as_json)
    tell_releases(project)


def freeze(reason: Reason, project: Folder = Path(), as_json: Json = False) -> None:
    """Refuse promotions until `thaw`.

    Rollback and retire stay possible.
    """
    from beampermit.registry import operations

    with _session(project) as session:
        result = operations.freeze(session, reason=reason)
    print_result(result, "frozen" if result.new else "already frozen", as_json)


def thaw(reason: Reason, project: Folder = Path(), as_json: Json = False) -> None:
    """Allow promotions again."""
    from beampermit.registry import operations

    with _session(project) as session:
        result = operations.thaw(session, reason=reason)
    print_result(result, "thawed" if result.new else "already thawed", as_json)


def re_sign(
    version: Annotated[int, typer.Option(min=1, help="Version whose permit is signed again.")],
    reason: Reason,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Sign a version again after its key was taken out of permit.pub.

    BEAMPERMIT_SIGNING_KEY is the new private key. Refused unless the permit binds what its commit has.
    """
    from beampermit.permit import keys
    from beampermit.registry import operations

    key = keys.load_signing_key(os.environ.get(keys.VARIABLE))
    with _session(project) as session:
        result = operations.re_sign(session, key, version=version, reason=reason)
    print_result(result, "signed again" if result.new else "already signed with a key of the protected branch", as_json)


AGREED = "the registry matches the ledger"


def reconcile(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Register lost versions again, from ledger, commits and DVC remote.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; exit 1 if the registry differs from the ledger.")
    ] = False,
    moved: Annotated[
        bool, typer.Option("--moved", help="The registry is another one from now on; the ledger keeps that.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why it was moved, for the ledger.")] = "",
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Correct the registry from the ledger.

    Prints what was different.
    """
    from functools import partial

    from beampermit.errors import BadInput
    from beampermit.project import Project
    from beampermit.registry.ledger import Ledger
    from beampermit.registry.operations import Session
    from beampermit.registry.reconcile import reconcile as reconcile_registry

    if rebuild and dry_run:
        raise BadInput("--rebuild and --dry-run exclude each other", hint="beampermit reconcile --dry-run")
    if moved and (dry_run or not reason.strip()):
        raise BadInput(
            "--moved needs --reason, and excludes --dry-run", hint="beampermit reconcile --moved --reason WHY"
        )
    repository = Project.find(project.resolve())
    model = repository.contract.model.name
    if dry_run:
        _print_differences(repository, model, as_json)
        return
    ledger = Ledger(repository.git)
    create = rebuild and _may_be_created(ledger, model, moved)
    with _opened(repository, ledger, create=create) as (ledger, registry, progress):
        changes: tuple[str, ...] = ()
        if rebuild:
            from beampermit.registry.models import fetch_from_dvc
            from beampermit.registry.rebuild import rebuild as rebuild_registry

            fetch = partial(fetch_from_dvc, repository)
            changes = rebuild_registry(ledger, registry, model, fetch, progress, moved=moved)
        if moved:
            changes += _move(Session(repository.git, ledger, registry, model, progress), reason)
        changes += reconcile_registry(ledger, registry, model, progress)
        champion = ledger.champion(model)
    body = {"champion": champion and champion.version, "changes": changes}
    show(body, lambda: console().print("\n".join(changes or (AGREED,))), as_json)


def _may_be_created(ledger: Ledger, model: str, moved: bool) -> bool:
    """Whether the registry at this address may be new: that of the ledger was lost, or it takes its place."""
    from beampermit.registry.mlflow import registry_address

    ledger.fetch()
    home = ledger.state(model).home
    return moved or home is None or home.address == registry_address()


def _move(session: Session, reason: str) -> tuple[str, ...]:
    from beampermit.registry import operations

    result = operations.move(session, reason=reason)
    return (f"the ledger names this registry: {result.event.address}", *result.changes) if result else ()


def _print_differences(project: Project, model: str, as_json: bool) -> None:
    """Exit code 1 if there are any."""
    from beampermit.registry.reconcile import find_abandoned, find_differences

    with _opened(project) as (ledger, registry, progress):
        changes = find_differences(ledger, registry, model, progress)
        abandoned = find_abandoned(ledger, registry, model, progress)
        champion = ledger.champion(model)

    def text() -> None:
        heading = "the registry does NOT match the ledger; these changes are needed:"
        console().print("\n  ".join([heading, *changes, "next: beampermit reconcile"]) if changes else AGREED)
        for run in abandoned:
            console().print(f"note: `beampermit reconcile` would do this as well: {run}")

    body = {"champion": champion and champion.version, "dry_run": True, "changes": changes, "abandoned": abandoned}
    show(body, text, as_json)
    raise typer.Exit(1 if changes else 0)


def history(
    last: Annotated[
        int | None, typer.Option(min=1, help="Number of events to print, the newest.", show_default="all")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Print the ledger: what happened, when, by whom and why."""
    from beampermit.documents.history import render_history
    from beampermit.project import Project
    from beampermit.registry.ledger import Ledger

    ledger = Ledger(Project.find(project.resolve()).git)
    ledger.fetch()
    state = ledger.read()
    events = state.events[-last:] if last else state.events
    odd = state.odd_times()
    notes = {event.sequence: [*filter(None, [odd.get(event.sequence), _doubt(ledger, event)])] for event in events}
    screen = console()

    def text() -> None:
        screen.print(render_history(state, screen.width, last))
        for note in dict.fromkeys(note for of_event in notes.values() for note in of_event):
            screen.print(f"note: {note}")

    show([{**event.content, "notes": notes[event.sequence]} for event in events], text, as_json)


def _doubt(ledger: Ledger, event: Event) -> str:
    if event.event == "image":
        from beampermit.registry.images import doubts_of_image

        return doubts_of_image(ledger, event)
    return ledger.doubts(event) if event.starts_service else ""


def publish(
    permit: Annotated[Path, typer.Option(help="The signed permit that was promoted.")] = Path("permit.dsse.json"),
    documents: Annotated[
        Path | None, typer.Option(help="Folder of the documents.", show_default="that of the permit")
    ] = None,
    in_service: Annotated[
        bool, typer.Option("--in-service", help="Publish nothing; only say in each release what is in service now.")
    ] = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Publish a version's documents as a release on GitHub.

    An existing release is completed. The release of the version in service is the latest, and the others say that they
    are not in service.
    """
    from beampermit.github.context import require_client
    from beampermit.in_service import show_in_service
    from beampermit.permit.envelope import read_envelope
    from beampermit.project import Project
    from beampermit.publishing import publish_version
    from beampermit.registry.ledger import Ledger

    repository = Project.find(project.resolve())
    client, ledger = require_client(repository.git), Ledger(repository.git)
    if in_service:
        changed = show_in_service(client, ledger, repository.contract.model.name)
        said = f"changed: {', '.join(changed)}" if changed else "each release says what is in service"
        show({"changed": changed}, lambda: console().print(said), as_json)
        return
    ledger.fetch()
    statement = read_envelope(permit, ledger.keys()).statement
    done = publish_version(client, ledger, statement, documents or permit.parent)
    show_in_service(client, ledger, statement.name)
    line = f"{'published' if done.new else 'already published'}: {done.address}" + (
        f", uploaded {', '.join(done.uploaded)}" if done.uploaded else ""
    )
    body = {"address": done.address, "new": done.new, "uploaded": done.uploaded}
    show(body, lambda: console().print(line), as_json)


@contextmanager
def promoting(project: Path, permit: Path, branch: str | None) -> Iterator[Promotion]:
    """The promotion of a signed permit, verified with the keys of the protected branch."""
    from datetime import UTC, datetime
    from functools import partial

    from beampermit.environments.environment import environment_of
    from beampermit.interlocks.families import load_interlocks
    from beampermit.interlocks.own.loading import declared
    from beampermit.live.deployment import deploy
    from beampermit.permit.envelope import read_envelope
    from beampermit.permit.verification import verify_interlocks, verify_packages
    from beampermit.project import Project
    from beampermit.registry.ledger import Ledger
    from beampermit.registry.promotion import Promotion

    repository = Project.find(project.resolve())
    ledger = Ledger(repository.git)
    ledger.fetch()
    signed = read_envelope(permit, ledger.keys(), now=datetime.now(UTC))
    own = declared(repository)
    verify_packages(signed.statement, own.packages)
    verify_interlocks(signed.statement, (*load_interlocks(), *own.points))
    environment = environment_of(repository.root, repository.contract.environment.variables)
    test = partial(deploy, repository, environment, signed.statement)
    first = not ledger.state(signed.statement.name).events
    with _opened(repository, ledger, create=first) as (ledger, registry, progress):
        yield Promotion(repository, ledger, registry, signed, test, progress, branch)


@contextmanager
def _session(folder: Path) -> Iterator[Session]:
    """The session of commands that only write the ledger."""
    from beampermit.project import Project
    from beampermit.registry.operations import Session

    project = Project.find(folder.resolve())
    with _opened(project) as (ledger, registry, progress):
        yield Session(project.git, ledger, registry, project.contract.model.name, progress)


@contextmanager
def _opened(
    project: Project, ledger: Ledger | None = None, *, create: bool = False
) -> Iterator[tuple[Ledger, Registry, Progress]]:
    """Ledger and registry of a project, and progress on stderr. Only with `create` a registry is made."""
    from beampermit.registry.ledger import Ledger
    from beampermit.registry.mlflow import Registry, registry_uri

    ledger = ledger or Ledger(project.git)
    home = None if os.environ.get("MLFLOW_TRACKING_URI") else ledger.state(project.contract.model.name).home
    uri = registry_uri(home.address if home else "")
    with shown_progress() as progress:
        progress("open the registry, or create it (some seconds, once)" if create else "open the registry")
        yield ledger, Registry(uri, create=create), progress


def moment_of(text: str) -> str | None:
    """Of `--pvs-until`, as the ledger has it; None where it was not given."""
    from datetime import UTC, datetime

    from beampermit.registry.event import written
    from beampermit.registry.moments import parse_last_day

    return written(parse_last_day(text, "--pvs-until", datetime.now(UTC))) if text else None


def print_result(result: Result, done: str, as_json: bool) -> None:
    event = result.event

    def text() -> None:
        version = f"{event.model} version {event.version}, commit {event.commit[:12]}"
        console().print(
            "\n  ".join([f"{done}: {version}, at {event.at} by {event.by}: {event.reason}", *result.changes])
        )

    show({"new": result.new, "event": event.content, "changes": result.changes}, text, as_json)
