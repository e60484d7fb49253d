"""Whether a permit is for this model: its name, its bytes, its commit."""

from __future__ import annotations

from pathlib import Path

from beampermit.digest import manifest
from beampermit.errors import Tripped
from beampermit.permit.statement import Statement


def verify_name(permit: Statement, name: str) -> None:
    """Refuse a permit that was given to another model. Raises `Tripped`."""
    if permit.name != name:
        raise Tripped(f"this permit is for {permit.name!r}, not for {name!r}")


def verify_commit(permit: Statement, commit: str) -> None:
    """Refuse a permit that was given for another commit. Raises `Tripped`."""
    if permit.predicate.commit != commit:
        raise Tripped(
            f"this permit is for commit {permit.predicate.commit[:12]}, and this is {commit[:12]}",
            hint="beampermit permit assemble",
        )


def verify_model(permit: Statement, folder: Path) -> None:
    """Refuse a model whose bytes are not those the permit binds, naming the first file. Raises `Tripped`."""
    bound, found = permit.predicate.model, manifest(folder)
    for file in sorted(bound.keys() | found.keys()):
        if file not in found:
            raise Tripped("the permit binds this file and it is missing", file=folder / file)
        if file not in bound:
            raise Tripped("this file is not bound by the permit", file=folder / file)
        if bound[file] != found[file]:
            raise Tripped("these bytes are not those that the permit binds", file=folder / file)


def verify_interlocks(permit: Statement, expected: set[str]) -> None:
    """Refuse a permit that passes over an interlock. Raises `Tripped`."""
    missing = sorted(expected - {verdict.id for verdict in permit.predicate.verdicts})
    if missing:
        raise Tripped(f"the permit has no verdict of {', '.join(missing)}", hint="beampermit permit assemble")
