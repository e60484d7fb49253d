"""Whether a permit is for this model: its name, its bytes, its commit; and what it is, in words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from beampermit.digest import digest_file, manifest
from beampermit.errors import Failed
from beampermit.models.manifest import Manifest
from beampermit.permit.statement import Statement

ANEW = "beampermit permit assemble --verdicts FOLDER"
"""A permit of other facts is of no use; one of these is made again."""
BYTES = "beampermit data pull"


def verify_name(permit: Statement, name: str) -> None:
    """Refuse a permit that was given to another model. Raises `Failed`."""
    if permit.name != name:
        raise Failed(f"this permit is for {permit.name!r}, not for {name!r}", hint=ANEW)


def verify_commit(permit: Statement, commit: str) -> None:
    """Refuse a permit that was given for another commit. Raises `Failed`."""
    if permit.predicate.commit != commit:
        raise Failed(
            f"this permit is for commit {permit.predicate.commit[:12]}, and this is {commit[:12]}",
            hint=ANEW,
        )


def verify_model(permit: Statement, folder: Path) -> None:
    """Refuse a model whose bytes are not those the permit binds, naming the first file. Raises `Failed`."""
    bound, found = permit.predicate.model, manifest(folder)
    for file in sorted(bound.keys() | found.keys()):
        if file not in found:
            raise Failed("the permit binds this file, and it is missing", file=folder / file, hint=BYTES)
        if file not in bound:
            raise Failed("this file is not bound by the permit", file=folder / file, hint=BYTES)
        if bound[file] != found[file]:
            raise Failed("these bytes are not those that the permit binds", file=folder / file, hint=BYTES)


def verify_files(permit: Statement, root: Path) -> None:
    """Refuse a work tree whose contract, lock or pipeline are not those that were judged. Raises `Failed`."""
    facts = permit.predicate
    for bound in (facts.contract, facts.environment, *facts.variants, facts.pipeline):
        file = root / bound.file
        if not file.is_file() or digest_file(file) != bound.digest:
            raise Failed(
                "this file is not the one that the permit binds",
                file=bound.file,
                hint=f"git checkout {facts.commit[:12]} -- {bound.file}",
            )


def verify_dataset(permit: Statement, manifest: Manifest) -> None:
    """Refuse a permit that was given on other data than the project's manifest lists. Raises `Failed`."""
    bound = permit.predicate.dataset
    for file in sorted(bound):
        if manifest.files.get(file) != bound[file]:
            raise Failed(
                "the permit was given on other bytes of this file than the manifest lists", file=file, hint=ANEW
            )


def verify_software(permit: Statement, file: Path) -> None:
    """Refuse a bill of materials that is not the one the permit binds. Raises `Failed`."""
    bound = permit.predicate.software
    if bound is None:
        raise Failed("the permit binds no bill of materials", file=file)
    if not file.is_file() or digest_file(file) != bound.digest:
        raise Failed("this is not the bill of materials that the permit binds", file=file)


def verify_interlocks(permit: Statement, expected: Iterable[str]) -> None:
    """Refuse a permit that passes over an interlock. Raises `Failed`."""
    missing = sorted(set(expected) - {verdict.id for verdict in permit.predicate.verdicts})
    if missing:
        raise Failed(f"the permit has no verdict of {', '.join(missing)}", hint=ANEW)


def render_permit(permit: Statement, model: Path | None = None) -> Any:
    """What a verified permit is for and who let it pass, as a rich table."""
    from rich.table import Table
    from rich.text import Text

    facts = permit.predicate
    hosts = sorted({verdict.where.run or verdict.where.host for verdict in facts.verdicts})
    rows = {
        "permit": permit.digest,
        "model": f"{permit.name} {permit.model_digest}",
        "bytes": f"{model} is this model" if model else "not compared; give --model FOLDER",
        "commit": facts.commit,
        "issued": f"{facts.issued} by beampermit {facts.checker}" + (f" in {facts.run}" if facts.run else ""),
        "lock": "\n".join(f"{bound.file} {bound.digest}" for bound in (facts.environment, *facts.variants)),
        "software": f"{facts.software.file} {facts.software.digest}" if facts.software else "no bill of materials",
        "metrics": ", ".join(f"{name} {value:.6g}" for name, value in facts.metrics.items()),
        "passed": f"{len(facts.verdicts)} interlocks: {', '.join(verdict.id for verdict in facts.verdicts)}",
        "judged at": ", ".join(hosts),
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name, style="bold"), Text(value))
    return table
