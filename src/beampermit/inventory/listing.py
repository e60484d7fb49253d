"""Which projects are in an inventory, and the site's files beside them: `inventory.yaml`, or what a command names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from beampermit.contract.part import InsidePath, Part, Seconds, Text
from beampermit.errors import BadInput
from beampermit.live.promoted.wanted import Repository
from beampermit.project import Project
from beampermit.reading import decode, first_fault, parse_yaml

FILE_NAME = "inventory.yaml"
LARGEST = 2**20
KEY_ENDS_WITHIN = 30 * 86400.0


class Listed(Part):
    """One repository, or one project in it."""

    repository: Text
    """Address or path; a path counts from this file's folder."""
    folder: InsidePath | None = None
    """Of the only contract that is meant; each contract of the repository where absent."""
    status: Text | None = None
    """URL of its service (`--http` or `--observe`), for one project; by its status PVs where absent."""
    github: Annotated[Text | None, Field(pattern=r"^[\w.-]+/[\w.-]+$")] = None
    """OWNER/NAME there; found in the address where absent."""


class Form(Part):
    """`inventory.yaml`. Files count from its folder."""

    inventory: Literal[1]
    """Version of this format."""
    projects: Annotated[tuple[Listed, ...], Field(max_length=2000)] = ()
    registry: Text | None = None
    """MLflow registry; `MLFLOW_TRACKING_URI` where absent."""
    services: tuple[Text, ...] = ()
    """Prefixes or URLs of further services, which must be of a model in a ledger here."""
    alarm_trees: tuple[Text, ...] = ()
    """Exports of Phoebus' alarm tree, XML."""
    archived: tuple[Text, ...] = ()
    """Lists of the archiver: what `getAllPVs` gives, or lists for `archivePV`, JSON."""
    people: Text | None = None
    """A file that names those who are there, an e-mail address a line."""
    vulnerabilities: tuple[Text, ...] = ()
    """Records of OSV: files, folders or `all.zip`."""
    key_ends_within: Seconds = KEY_ENDS_WITHIN
    """A permit key that ends so soon is a finding."""


@dataclass(frozen=True)
class Place:
    """A listed repository, as git reaches it."""

    repository: Repository
    folder: str | None = None
    status: str = ""
    github: str = ""


@dataclass(frozen=True)
class Listing:
    """What is asked; all paths are absolute."""

    places: tuple[Place, ...]
    registry: str = ""
    services: tuple[str, ...] = ()
    alarm_trees: tuple[Path, ...] = ()
    archived: tuple[Path, ...] = ()
    people: Path | None = None
    vulnerabilities: tuple[Path, ...] = ()
    key_ends_within: float = KEY_ENDS_WITHIN


def read_listing(file: Path) -> Listing:
    """Raises `BadInput` with file and line or key."""
    if not file.is_file():
        raise BadInput("there is no such inventory", file=file, hint=f"write {FILE_NAME}: see docs/inventory.md")
    content = file.read_bytes()
    if len(content) > LARGEST:
        raise BadInput(f"larger than {LARGEST} bytes", file=file)
    try:
        form = Form.model_validate(parse_yaml(decode(content, file), file))
    except ValidationError as error:
        raise BadInput(first_fault(error), file=file) from None
    folder = file.resolve().parent
    places = tuple(_place(one, folder) for one in form.projects)
    _refuse_twins(places, file)
    return Listing(
        places,
        form.registry or "",
        form.services,
        tuple(folder / name for name in form.alarm_trees),
        tuple(folder / name for name in form.archived),
        folder / form.people if form.people else None,
        tuple(folder / name for name in form.vulnerabilities),
        form.key_ends_within,
    )


def named_places(names: Sequence[str]) -> tuple[Place, ...]:
    """Each name is a folder of a project, whose origin has the ledger, or a repository's address. Raises `BadInput`."""
    return tuple(_named(name) for name in names)


def _named(name: str) -> Place:
    path = Path(name).expanduser()
    if not path.is_dir():
        return Place(Repository.named(name))
    try:
        project = Project.find(path.resolve())
    except BadInput:  # such as a bare repository
        return Place(Repository.named(name))
    if not project.has_contract:
        return Place(Repository.of_project(project))
    return Place(Repository.of_project(project), project.git.prefix.rstrip("/"))


def _place(listed: Listed, folder: Path) -> Place:
    repository = Repository.named(listed.repository, folder)
    return Place(repository, listed.folder, listed.status or "", listed.github or "")


def _refuse_twins(places: Sequence[Place], file: Path) -> None:
    seen = set[tuple[str, str | None]]()
    for place in places:
        key = (place.repository.address, place.folder)
        if key in seen:
            raise BadInput(f"{place.repository.name} is listed twice", file=file)
        seen.add(key)
