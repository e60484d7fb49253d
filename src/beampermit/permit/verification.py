"""Verifies that a permit is for this model: name, bytes, commit, files; and shows it to a person."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

from beampermit.datasets.workspace import plain_folder
from beampermit.digest import digest_file, manifest
from beampermit.errors import BadInput, Failed, counted
from beampermit.models.manifest import Manifest
from beampermit.permit.statement import Statement
from beampermit.verdicts.packages import InterlockPackage

ASSEMBLE = "beampermit permit assemble --verdicts FOLDER"
PULL = "beampermit data pull"
DIFFERS = "this file differs from the one that the permit binds"


def verify_name(permit: Statement, name: str) -> None:
    """Raises `Failed` for a permit of another model."""
    if permit.name != name:
        raise Failed(f"the permit is for model {permit.name!r}, not for {name!r}", hint=ASSEMBLE)


def verify_commit(permit: Statement, commit: str) -> None:
    """Raises `Failed` for a permit of another commit."""
    if permit.predicate.commit != commit:
        raise Failed(
            f"the permit is for commit {permit.predicate.commit[:12]}, but HEAD is {commit[:12]}",
            hint=ASSEMBLE,
        )


def verify_model(permit: Statement, folder: Path, root: Path | None = None) -> None:
    """Raises `Failed` with the first file whose bytes are not those that the permit binds.

    The folder itself may be a link. One inside it must lead to an object of DVC's cache of the project at `root`.
    """
    bound = permit.predicate.model
    with plain_folder(folder.resolve(), root) if root else nullcontext(folder) as plain:
        try:
            files = manifest(plain)
        except BadInput as error:
            raise Failed(error.message, file=folder / Path(error.file or plain).relative_to(plain)) from None
    for file in sorted(bound.keys() | files.keys()):
        if file not in files:
            raise Failed("this file is missing, and the permit binds it", file=folder / file, hint=PULL)
        if file not in bound:
            raise Failed("the permit does not bind this file", file=folder / file, hint=PULL)
        if bound[file] != files[file]:
            raise Failed(DIFFERS, file=folder / file, hint=PULL)


def verify_files(permit: Statement, root: Path) -> None:
    """Raises `Failed` where contract, locks or pipelines are not those that were judged."""
    facts = permit.predicate
    for bound in facts.files:
        file = root / bound.file
        if not file.is_file() or digest_file(file) != bound.digest:
            raise Failed(
                DIFFERS,
                file=bound.file,
                hint=f"git checkout {facts.commit[:12]} -- {bound.file}",
            )


def verify_dataset(permit: Statement, manifest: Manifest) -> None:
    """Raises `Failed` where the project's manifest lists other data than the permit."""
    bound = permit.predicate.dataset
    for file in sorted(bound):
        if manifest.files.get(file) != bound[file]:
            raise Failed("the manifest lists another digest for this file than the permit", file=file, hint=ASSEMBLE)


def verify_software(permit: Statement, file: Path) -> None:
    """Raises `Failed` where `file` is not the bill of materials that the permit binds."""
    bound = permit.predicate.software
    if bound is None:
        raise Failed("the permit binds no bill of materials", file=file)
    if not file.is_file() or digest_file(file) != bound.digest:
        raise Failed("this is not the bill of materials that the permit binds", file=file)


def verify_interlocks(permit: Statement, expected: Iterable[str]) -> None:
    """Raises `Failed` for a permit that lacks a verdict."""
    missing = sorted(set(expected) - {verdict.id for verdict in permit.predicate.verdicts})
    if missing:
        raise Failed(f"the permit has no verdict of {', '.join(missing)}", hint=ASSEMBLE)


def verify_packages(permit: Statement, named: tuple[InterlockPackage, ...]) -> None:
    """Raises `Failed` where other packages of the laboratory judged than those that the protected branch `named`."""
    judged = permit.predicate.packages
    if judged == named:
        return
    labels = [", ".join(one.label for one in packages) or "none" for packages in (judged, named)]
    other = "with other hashes" if labels[0] == labels[1] else f"and the protected branch names {labels[1]}"
    raise Failed(f"of the laboratory's packages, {labels[0]} judged, {other}", hint=ASSEMBLE)


def describe_permit(permit: Statement, model: Path | None = None) -> dict[str, str]:
    """What a verified permit binds, for a person, by name."""
    facts = permit.predicate
    own = {"judged beside": "\n".join(f"{one.label} {' '.join(one.hashes)}" for one in facts.packages)}
    hosts = sorted({verdict.where.run or verdict.where.host for verdict in facts.verdicts})
    return {
        "permit": permit.digest,
        "model": f"{permit.name} {permit.model_digest}",
        "bytes": f"{model} is this model" if model else "not compared; --model FOLDER compares them",
        "commit": facts.commit,
        "gates": f"of base {facts.base}, {facts.base_contract}" if facts.base else f"its own, {facts.base_contract}",
        "issued": f"{facts.issued} by beampermit {facts.checker}" + (f" in {facts.run}" if facts.run else ""),
        **(own if facts.packages else {}),
        "lock": "\n".join(f"{bound.file} {bound.digest}" for bound in (facts.environment, *facts.variants)),
        "software": f"{facts.software.file} {facts.software.digest}" if facts.software else "no bill of materials",
        "metrics": ", ".join(f"{name} {value:.6g}" for name, value in facts.metrics.items()),
        "passed": f"{counted(len(facts.verdicts), 'interlock')}: {', '.join(verdict.id for verdict in facts.verdicts)}",
        "judged at": ", ".join(hosts),
    }
