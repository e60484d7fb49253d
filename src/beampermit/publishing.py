"""The release of a promoted version on GitHub: its documents, and the permit that the ledger keeps for it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from beampermit.documents.markdown import code, text
from beampermit.errors import BadInput
from beampermit.files import write_bytes
from beampermit.github.client import Client
from beampermit.github.releases import Published, Release, publish
from beampermit.permit.statement import Statement
from beampermit.permit.verification import verify_software
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger

PERMIT = "permit.dsse.json"
UNSIGNED = "permit.json"


def publish_version(client: Client, ledger: Ledger, permit: Statement, documents: Path) -> Published:
    """Publish the documents of the version that `permit` was promoted as, or complete its release.

    Raises `BadInput` where the ledger has no promotion of this model at this commit, `Failed` where the bill of
    materials is not the one that the permit binds; `Conflict`, `Outside`.
    """
    event = find_promotion(ledger, permit)
    files = _documents(documents)
    if bound := permit.predicate.software:
        verify_software(permit, documents / bound.file)
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        kept = ledger.permit(event)
        if kept is not None:
            # Signed again by a workflow that is run again, a permit is another; the ledger's is the one that counts.
            files[PERMIT] = Path(scratch, PERMIT)
            write_bytes(files[PERMIT], kept)
        tag = f"{event.model}-v{event.version}"
        return publish(
            client, Release(tag, event.commit, f"{event.model} version {event.version}", format_body(event), files)
        )


def find_promotion(ledger: Ledger, permit: Statement) -> Event:
    """The event that first put into service what `permit` is for. Raises `BadInput` where there is none."""
    ledger.fetch()
    for event in ledger.state(permit.name).promoted.values():
        if (event.commit, event.digest) == (permit.predicate.commit, permit.model_digest):
            return event
    raise BadInput(
        f"{permit.name} was never promoted from commit {permit.predicate.commit[:12]}", hint="beampermit promote"
    )


def format_body(event: Event) -> str:
    """What the release says."""
    rows = {
        "commit": code(event.commit),
        "model": code(event.digest),
        "permit": code(event.permit),
        "promoted": text(f"{event.at} by {event.by}"),
        "why": text(event.reason or "no reason was given"),
        "run": text(event.run or "by hand"),
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return (
        f"| | |\n|---|---|\n{table}\n\n"
        f"Whether a folder is this model: `beampermit permit verify {PERMIT} --name {event.model} --model FOLDER`. "
        f"Back to it: `beampermit rollback --to {event.version} --reason WHY`.\n"
    )


def _documents(folder: Path) -> dict[str, Path]:
    """The files of a folder, without what lies deeper and the permit that nobody signed. Raises `BadInput`."""
    if not folder.is_dir():
        raise BadInput("there are no documents here", file=folder, hint=f"beampermit documents --out {folder}")
    found = {file.name: file for file in sorted(folder.iterdir()) if not file.is_dir() and file.name != UNSIGNED}
    for name, file in found.items():
        if file.is_symlink() or not re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII):
            raise BadInput("a release takes plain files with plain names", file=file)
    return found
