"""`beampermit promote`, `rollback`, `reconcile`, `history`: what moves the champion, and what moved it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.output import Json, console, progress_console, show

Where = Annotated[Path, typer.Option("--project", help="The project's folder.", show_default="this folder")]
Reason = Annotated[str, typer.Option(help="Why, for the ledger.")]


def promote(
    permit: Annotated[Path, typer.Option(help="The signed permit.")] = Path("permit.dsse.json"),
    key: Annotated[
        Path | None, typer.Option(help="Public key (PEM).", show_default="the project's .github/permit.pub")
    ] = None,
    reason: Reason = "",
    project: Where = Path(),
    as_json: Json = False,
) -> None:
    """Make the permit's model the champion: register, test the deployment, write the ledger, move the alias."""
    from functools import partial

    from beampermit.environments.environment import environment_of
    from beampermit.interlocks import runner
    from beampermit.permit import keys
    from beampermit.permit.envelope import read_envelope
    from beampermit.permit.verification import verify_interlocks
    from beampermit.project import Project
    from beampermit.registry.deployment import deploy
    from beampermit.registry.promotion import Promotion

    found = Project.find(project.resolve())
    signed = read_envelope(permit, keys.public_key(key or found.path(keys.PUBLIC_IN_PROJECT)))
    verify_interlocks(signed.statement, runner.load())
    test = partial(deploy, found, environment_of(found.root), signed.statement)
    with _registry(found) as (ledger, registry, watch):
        moved = Promotion(found, ledger, registry, signed, test, watch).run(reason)
    _say(moved, "promoted" if moved.new else "already champion", as_json)


def rollback(
    to: Annotated[
        int | None, typer.Option(min=1, help="Version to go back to.", show_default="the champion before")
    ] = None,
    reason: Reason = "",
    project: Where = Path(),
    as_json: Json = False,
) -> None:
    """Make an earlier champion the champion again."""
    from beampermit.project import Project
    from beampermit.registry.rollback import rollback as go_back

    found = Project.find(project.resolve())
    with _registry(found) as (ledger, registry, watch):
        moved = go_back(found.git, ledger, registry, found.contract.model.name, watch, to=to, reason=reason)
    _say(moved, "rolled back" if moved.new else "already champion", as_json)


def reconcile(project: Where = Path(), as_json: Json = False) -> None:
    """Make the registry say what the ledger says, and say what was otherwise."""
    from beampermit.project import Project
    from beampermit.registry.reconcile import reconcile as agree

    found = Project.find(project.resolve())
    with _registry(found) as (ledger, registry, watch):
        moved = agree(ledger, registry, found.contract.model.name, watch)
        standing = ledger.champion(found.contract.model.name)

    def text() -> None:
        for line in moved or ("the registry says what the ledger says",):
            console().print(line, markup=False, soft_wrap=True)

    show({"champion": standing and standing.version, "moved": moved}, text, as_json)


def history(project: Where = Path(), as_json: Json = False) -> None:
    """Print the ledger: what was promoted and rolled back, when, by whom and why."""
    from beampermit.project import Project
    from beampermit.registry.history import table
    from beampermit.registry.ledger import Ledger

    ledger = Ledger(Project.find(project.resolve()).git)
    ledger.fetch()
    events = ledger.events()
    show([event.model_dump(mode="json") for event in events], lambda: console().print(table(events)), as_json)


@contextmanager
def _registry(project: Any) -> Iterator[tuple[Any, Any, Callable[[str], None]]]:
    """Ledger and registry of a project, and a line of progress on a terminal."""
    from beampermit.registry.ledger import Ledger
    from beampermit.registry.mlflow import Registry, is_new, registry_uri

    uri = registry_uri(project.root)
    opening = "make a new registry: some seconds, once" if is_new(uri) else "open the registry"
    with progress_console().status(opening) as status:
        yield Ledger(project.git), Registry(uri), status.update


def _say(moved: Any, done: str, as_json: bool) -> None:
    event = moved.event

    def text() -> None:
        console().print(
            f"{done}: {event.model} version {event.version}, commit {event.commit[:12]}", markup=False, soft_wrap=True
        )
        for line in moved.moved:
            console().print(f"  {line}", markup=False, soft_wrap=True)

    show({"new": moved.new, "event": event.model_dump(mode="json"), "moved": moved.moved}, text, as_json)
