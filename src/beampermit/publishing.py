"""The GitHub release of a promoted version: its documents, and the permit from the ledger."""

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

    Raises `BadInput` where the ledger has no such promotion, `Failed` where its permit is not believed or the bill of
    materials is not the one that the permit binds; `Conflict`, `Outside`.
    """
    event = find_promotion(ledger, permit)
    files = _list_documents(documents)
    if bound := permit.predicate.software:
        verify_software(permit, documents / bound.file)
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        # A workflow that is run again signs a new permit; the one in the ledger counts.
        files[PERMIT] = Path(scratch, PERMIT)
        write_bytes(files[PERMIT], ledger.permit(event) or b"")
        tag = f"{event.model}-v{event.version}"
        return publish(
            client, Release(tag, event.commit, f"{event.model} version {event.version}", format_body(event), files)
        )


def find_promotion(ledger: Ledger, permit: Statement) -> Event:
    """The event that promoted the model of `permit`. Raises `BadInput` where there is none, `Failed` as `believe`."""
    ledger.fetch()
    for event in ledger.state(permit.name).promoted.values():
        if (event.commit, event.digest) == (permit.predicate.commit, permit.model_digest):
            ledger.believe(event)
            return event
    raise BadInput(
        f"the ledger has no promotion of {permit.name} from commit {permit.predicate.commit[:12]}",
        hint="beampermit promote",
    )


def format_body(event: Event) -> str:
    """The text of the release, in Markdown."""
    rows = {
        "commit": code(event.commit),
        "model": code(event.digest),
        "permit": code(event.permit),
        "promoted": text(f"{event.at} by {event.by}"),
        "reason": text(event.reason or "none given"),
        "run": text(event.run or "not in a workflow"),
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return (
        f"| | |\n|---|---|\n{table}\n\n"
        f"To verify a model folder: `beampermit permit verify {PERMIT} --name {event.model} --model FOLDER`. "
        f"To go back to this version: `beampermit rollback --to {event.version} --reason WHY`.\n"
    )


def _list_documents(folder: Path) -> dict[str, Path]:
    """The files of a folder, without subfolders and the unsigned permit. Raises `BadInput`."""
    if not folder.is_dir():
        raise BadInput("there is no folder of documents", file=folder, hint=f"beampermit documents --out {folder}")
    files = {file.name: file for file in sorted(folder.iterdir()) if not file.is_dir() and file.name != UNSIGNED}
    for name, file in files.items():
        if file.is_symlink() or not re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII):
            raise BadInput("a release takes regular files with names of letters, digits, . _ and -", file=file)
    return files
