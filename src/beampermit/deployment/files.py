"""The files of a deployment: which there are, what each is to say, and where those of a project say something else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from beampermit.datasets.workspace import plain_file
from beampermit.deployment import access, alarms, archiver, kubernetes, screen, units
from beampermit.deployment.deployment import Deployment
from beampermit.deployment.statements import Statement, compare
from beampermit.errors import BadInput, Problem
from beampermit.files import write_text
from beampermit.project import Project
from beampermit.reading import decode, refuse_merge_markers

LARGEST = 2**26


@dataclass(frozen=True)
class Kind:
    """One file: how it is made, and what a text of it says."""

    make: Callable[[Deployment], str]
    read: Callable[[str, str], Iterable[Statement]]


KINDS: dict[str, Kind] = {
    "{name}.service": Kind(units.systemd, units.systemd_statements),
    "{name}-monitor.service": Kind(units.monitor, units.command_statements),
    "{name}.procserv.conf": Kind(units.procserv, units.procserv_statements),
    "kubernetes.yaml": Kind(kubernetes.manifest, kubernetes.manifest_statements),
    "kustomization.yaml": Kind(kubernetes.kustomization, kubernetes.kustomization_statements),
    "access.acf": Kind(access.access, access.access_statements),
    "{name}.bob": Kind(screen.screen, screen.screen_statements),
    "archiver.json": Kind(archiver.archiver_list, archiver.archiver_statements),
    "phoebus.xml": Kind(alarms.alarms, alarms.alarm_statements),
}


def texts(deployment: Deployment) -> dict[str, str]:
    """Every file as it is made anew, by its name in the folder."""
    return {name.format(name=deployment.name): kind.make(deployment) for name, kind in KINDS.items()}


def problems(project: Project, folder: str, deployment: Deployment) -> dict[str, tuple[Problem, ...]]:
    """For each file in `folder`, what it says otherwise than the contract; empty where it agrees."""
    return _compared(project, folder, deployment, texts(deployment))


def _compared(
    project: Project, folder: str, deployment: Deployment, made: Mapping[str, str]
) -> dict[str, tuple[Problem, ...]]:
    kinds = dict(zip(made, KINDS.values(), strict=True))
    return {
        name: tuple(_problems(project, f"{PurePosixPath(folder, name)}", kinds[name], text, deployment))
        for name, text in made.items()
    }


def write(project: Project, folder: str, deployment: Deployment, *, anew: bool = False) -> dict[str, bool]:
    """Write the files that are missing or say something else than the contract; with `anew`, all.

    Returns for each file whether it was written: one that agrees keeps what the laboratory changed in it. Raises
    `BadInput` where the folder is not in the project, or a link leads out of it.
    """
    if not project.path(folder).resolve().is_relative_to(project.root.resolve()):
        raise BadInput("this folder is not in the project, or a link leads out of it", file=folder)
    made = texts(deployment)
    found = _compared(project, folder, deployment, made)
    for name, text in made.items():
        if anew or found[name]:
            write_text(project.path(f"{PurePosixPath(folder, name)}"), text)
    return {name: anew or bool(found[name]) for name in made}


def _problems(project: Project, file: str, kind: Kind, made: str, deployment: Deployment) -> Iterator[Problem]:
    try:
        said = list(kind.read(_text(project, file), file))
    except BadInput as error:
        yield Problem(error.message, error.file or file, error.line)
        return
    yield from compare(file, said, kind.read(made, file), deployment.is_gone)


def _text(project: Project, file: str) -> str:
    path = plain_file(project.root, file)
    if path.is_symlink():
        raise BadInput("is a link, not a file", file=file)
    if path.stat().st_size > LARGEST:
        raise BadInput(f"this file is larger than {LARGEST} bytes, the limit", file=file)
    text = decode(path.read_bytes(), file)
    refuse_merge_markers(text, file, hint="git mergetool")
    return text
